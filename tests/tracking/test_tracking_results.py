"""What aggregate and `reslab relog` add in MLflow, with the real pipeline, store and UI: scores, statistics, verdicts, views."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from commands import reslab
from mlflow.tracking import MlflowClient
from project import call, runs_in_mlflow

from reslab import config
from reslab.errors import UserError
from reslab.tracking import read_results
from reslab.tracking.networks import final_scores
from reslab.tracking.views import addresses, shared


def store_of(folder: Path) -> tuple[MlflowClient, str]:
    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    return client, client.get_experiment_by_name("small").experiment_id


def experiments_of(folder: Path) -> dict:
    client, study = store_of(folder)
    return {run.data.tags["experiment"]: run for run in client.search_runs([study], "tags.kind = 'experiment'")}


def content(folder: Path) -> set:
    """Every live run with its place, tags and metrics, so far as they come from files."""
    client, study = store_of(folder)
    names = {run.info.run_id: run.info.run_name for run in client.search_runs([study])}
    return {
        json.dumps(
            [
                run.info.run_name,
                names.get(run.data.tags.get("mlflow.parentRunId")),
                {key: value for key, value in run.data.tags.items() if not key.startswith(("mlflow.", "dvc."))},
                run.data.params,
                {key: round(value, 9) for key, value in run.data.metrics.items() if not key.startswith(("epoch/", "system/"))},
            ],
            sort_keys=True,
        )
        for run in client.search_runs([study])
    }


def scored_records(folder: Path, experiment: str) -> dict[int, dict]:
    runs = json.loads((folder / "metrics" / "runs" / f"{experiment}.json").read_text())["runs"]
    return {record["seed"]: record for record in runs}


def test_evaluates_scores_are_in_each_networks_run(trained):
    for run in runs_in_mlflow(trained):
        record = scored_records(trained, run.data.tags["experiment"])[int(run.data.tags["seed"])]
        for score in ("test_error", "test_top5_error", "test_ece", "test_loss"):
            assert run.data.metrics[f"final/{score}"] == pytest.approx(record[score])


def test_an_experiments_run_has_the_statistics_of_its_seeds_and_the_verdicts(trained):
    found, table = experiments_of(trained), pd.read_csv(trained / "metrics" / "tables" / "results.csv")
    assert set(found) == {"plain-tau", "own-tau"}
    for row in table.itertuples():
        metrics = found[row.experiment].data.metrics
        for metric, number in (("mean", row.mean), ("std", row.std)):  # of those that trained; one of them may be at a guess
            assert metrics.get(f"seeds/error_{metric}", float("nan")) == pytest.approx(number, nan_ok=True)
        assert (metrics["seeds/n"] + metrics["seeds/did_not_train"], metrics["seeds/diverged"]) == (2, 0)
        assert found[row.experiment].data.tags["seeds"] == "0, 1"
    for row in pd.read_csv(trained / "metrics" / "tables" / "comparisons.csv").itertuples():
        assert found[row.experiment].data.tags[f"verdict.against.{row.against}"] == row.verdict
    for run in runs_in_mlflow(trained):
        assert run.data.tags["mlflow.parentRunId"] == found[run.data.tags["experiment"]].info.run_id


def test_losing_mlflow_costs_nothing_relog_rebuilds_it_and_a_second_time_changes_nothing(project, monkeypatch):
    before = content(project)
    shutil.rmtree(project / "mlartifacts")
    (project / "mlflow.db").unlink()
    (project / "mlflow.db-wal").unlink(missing_ok=True)
    assert "Data and pipelines are up to date." in call(project, "dvc", "repro").stdout
    said = call(project, "reslab", "relog").stdout
    assert "4 networks of the study small are in MLflow" in said
    assert content(project) == before
    client, study = store_of(project)
    histories = [client.get_metric_history(run.info.run_id, "final/test_ece") for run in runs_in_mlflow(project)]
    monkeypatch.chdir(project)
    assert reslab("relog") == said
    assert [client.get_metric_history(run.info.run_id, "final/test_ece") for run in runs_in_mlflow(project)] == histories
    assert content(project) == before
    assert len(runs_in_mlflow(project)) == 4
    assert f"/#/experiments/{study}/runs?workflowType=machine_learning&compareRunsMode=CHART&viewStateShareKey=experiments" in said


def test_a_network_that_train_could_not_log_is_named_and_relog_logs_it(project, monkeypatch):
    client, _ = store_of(project)
    gone = next(run for run in runs_in_mlflow(project) if run.info.run_name == "own-tau-s1")
    client.delete_run(gone.info.run_id)
    done = call(project, "dvc", "repro", "-s", "-f", "aggregate")
    assert "the results not logged to MLflow (no run of own-tau-s1); `reslab relog` will log it" in done.stderr
    hidden = (project / "data" / "runs" / "own-tau" / "seed1").rename(project / "hidden")
    monkeypatch.chdir(project)
    with pytest.raises(UserError, match="no run of own-tau-s1: recorded in metrics/runs, but not in data/runs; run `dvc pull`"):
        reslab("relog")
    hidden.rename(project / "data" / "runs" / "own-tau" / "seed1")
    reslab("relog")
    anew = next(run for run in runs_in_mlflow(project) if run.info.run_name == "own-tau-s1")
    assert anew.data.metrics["final/test_ece"] == pytest.approx(scored_records(project, "own-tau")[1]["test_ece"])


def test_the_views_ask_for_what_was_logged_and_their_axes_are_numbers(trained):
    client, study = store_of(trained)
    tags = client.get_experiment(study).tags
    for name, kind in (("networks", "network"), ("experiments", "experiment")):
        view = json.loads(tags[f"mlflow.sharedViewState.{name}"])
        runs = client.search_runs([study], view["searchFilter"], order_by=[f"{view['orderByKey']} ASC"])
        assert {run.data.tags["kind"] for run in runs} == {kind}
        assert len(runs) == {"network": 4, "experiment": 2}[kind]
        parallel = view["compareRunCharts"][0]
        assert parallel["selectedParams"] == ["model.depth", "tau"]
        for run in runs:
            assert float(run.data.params["model.depth"]) == 8
            assert float(run.data.params["tau"]) in (1.0, pytest.approx(3**-0.5))
            charts = {metric for chart in view["compareRunCharts"] for metric in chart.get("selectedMetrics", [])}
            charts |= {chart["metricKey"] for chart in view["compareRunCharts"] if "metricKey" in chart}
            failed = {"seeds/error_mean", "seeds/error_std"} if run.data.metrics.get("seeds/did_not_train") else set()
            assert charts - failed <= set(run.data.metrics)
        sections = {section["uuid"] for section in view["compareRunSections"]}
        assert {chart["metricSectionId"] for chart in view["compareRunCharts"]} == sections


def test_what_is_not_known_is_not_logged(trained):
    assert final_scores({"test_error": 0.5, "test_ece": None, "test_loss": float("nan"), "seed": 1}) == {"final/test_error": 0.5}
    study = config.load(trained / "params.yaml")
    assert read_results(study, trained / "no-such-folder") == []
    assert "seeds/published_error" not in read_results(study, trained / "metrics")[0].statistics
    for state in shared([]).values():
        assert json.loads(state)["compareRunCharts"][0]["selectedParams"] == []


def test_addresses():
    assert addresses("sqlite:////x/mlflow.db", "3")[0].startswith("http://127.0.0.1:5000/#/experiments/3/runs?")
    assert addresses("http://server:80/", "3")[1] == (
        "http://server:80/#/experiments/3/runs?workflowType=machine_learning&compareRunsMode=CHART&viewStateShareKey=experiments"
    )
