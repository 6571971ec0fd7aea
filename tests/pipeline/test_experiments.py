"""The commands of docs/experiments.md, run for real."""

import json
import os
import re
import signal
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest
import torch
from mlflow.tracking import MlflowClient
from project import call, environment, free_port, records, runs_in_mlflow

from reslab.data import prepared


@pytest.mark.slow
def test_experiments_queue_and_comparisons(project):
    """The commands of docs/experiments.md, in its order."""
    before = runs_in_mlflow(project)
    call(project, "dvc", "exp", "run", "-S", "model.tau=0.136", "--name", "tau136")
    assert records(project)["plain-tau", 0]["tau"] == 0.136
    assert "0.136" in call(project, "dvc", "params", "diff").stdout
    assert len(runs_in_mlflow(project)) == len(before) + 2  # own-tau has its own rule and was not trained again
    call(project, "git", "checkout", "--quiet", ".")
    call(project, "dvc", "checkout", "--quiet")

    call(project, "dvc", "exp", "run", "--queue", "-S", "model.tau=0.1,0.2", "train@plain-tau")
    call(project, "dvc", "queue", "start")
    wait_for_queue(project, 2)
    check_queued(project)
    assert len(runs_in_mlflow(project)) == len(before) + 6  # queued runs log to the main checkout's store

    call(project, "dvc", "exp", "branch", "tau136", "smaller-tau")
    diff = call(project, "dvc", "metrics", "diff", "main", "smaller-tau").stdout
    assert "plain-tau.error_percent" in diff
    assert "own-tau" not in diff  # unchanged numbers are hidden
    page = call(project, "dvc", "plots", "diff", "main", "smaller-tau").stdout.strip().splitlines()[-1]
    html = Path(page.removeprefix("file://")).read_text()
    assert '"rev": "smaller-tau"' in html
    assert '"field": "experiment"' in html
    assert "test_error_percent" in html
    shown = call(project, "dvc", "plots", "show").stdout.strip().splitlines()[-1]
    assert "plain-tau" in Path(shown.removeprefix("file://")).read_text()
    call(project, "git", "checkout", "--quiet", "smaller-tau")
    call(project, "dvc", "checkout", "--quiet")
    assert "Data and pipelines are up to date." in call(project, "dvc", "repro").stdout


def check_queued(project: Path) -> None:
    """What the queue ran is there, and its log has the text of a run without a terminal."""
    shown = json.loads(call(project, "dvc", "exp", "show", "--json").stdout)
    found = {experiment["name"]: taus_of(experiment) for row in shown for experiment in (row["experiments"] or [])}
    assert set(found.values()) == {0.1, 0.136, 0.2}
    (queued,) = [name for name, tau in found.items() if tau == 0.2]
    told = call(project, "dvc", "queue", "logs", "--follow", queued).stdout
    assert re.search(r"plain-tau seed 1: \w+, epoch \d of 2, training loss .*, test error .*%, rate .*, \d+ images/s", told)


def taus_of(experiment: dict) -> float:
    return experiment["revs"][0]["data"]["params"]["params.yaml"]["data"]["model"]["tau"]


def wait_for_queue(folder: Path, count: int) -> None:
    for _ in range(120):
        status = call(folder, "dvc", "queue", "status").stdout
        assert "Failed" not in status, status
        if status.count("Success") == count:
            return
        time.sleep(4)  # each look takes a second of a core
    pytest.fail(f"the queue did not finish:\n{status}")


def test_a_new_experiment_on_the_fly(project):
    call(project, "dvc", "exp", "run", "-S", "+experiments.third={model: {tau: 0.3}}", "train@third")
    assert records(project)["third", 1]["tau"] == 0.3


def test_a_registered_network_answers_raw_pixels_as_the_record_says(project, monkeypatch):
    import mlflow.pytorch

    uri = call(project, "reslab", "register", "own-tau", "--seed", "1").stdout.strip().splitlines()[-1]
    assert uri == "models:/small-own-tau/1"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{project / 'mlflow.db'}")
    model = mlflow.pytorch.load_model(uri)
    test = prepared.load(project / "data" / "prepared").test
    with torch.no_grad():
        answers = model(torch.from_numpy(test.images).float()).argmax(1).numpy()
    assert (answers != test.labels).mean() == records(project)["own-tau", 1]["test_error"]
    assert {run.info.run_name for run in runs_in_mlflow(project)} == {f"{n}-s{s}" for n in ("plain-tau", "own-tau") for s in (0, 1)}


def test_make_ui_serves_the_runs(trained):
    port = free_port()
    process = subprocess.Popen(
        ["make", "--assume-old", "setup", "ui"],
        cwd=trained,
        env=environment(fresh=True) | {"MLFLOW_PORT": str(port)},
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        page = fetch_when_up(f"http://127.0.0.1:{port}/")
        assert "MLflow" in page
        client = MlflowClient(f"http://127.0.0.1:{port}")
        experiment = client.get_experiment_by_name("small")
        found = client.search_runs([experiment.experiment_id], "tags.experiment = 'own-tau' and tags.kind = 'network'")
        assert {run.info.run_name for run in found} == {"own-tau-s0", "own-tau-s1"}
        assert len(client.get_metric_history(found[0].info.run_id, "test/error")) == 2
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def fetch_when_up(url: str) -> str:
    for _ in range(600):
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return answer.read().decode()
        except OSError:
            time.sleep(0.1)
    pytest.fail(f"{url} did not answer within a minute")
