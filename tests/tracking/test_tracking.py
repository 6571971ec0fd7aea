"""MLflow, for real: a sqlite store, a server, and a server that is not there."""

import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from reslab.runs import records
from reslab.tracking import Store, TrainedNetwork, attempt, tracking_uri

RECORD = {
    "identity": "abc",
    "seed": 0,
    "status": "finished",
    "seconds": 2.5,
    "images_per_second": 100.0,
    "started": 1_700_000_000,
    "config": {"model": {"name": "tau_resnet", "tau": "1/sqrt(L)"}, "augment": [{"name": "flip"}]},
    "parameters": 10,
    "multiply_adds": 20,
    "tau": 0.333,
    "dataset_checksum": "cafe",
    "device": "cpu",
    "commit": "1234",
    "dirty": False,
}
HISTORY = [{"epoch": epoch, "lr": 0.1, "train_loss": 1 / epoch, "test_error": 0.5 / epoch} for epoch in range(1, 401)]


def network(folder: Path, **changes) -> TrainedNetwork:
    folder.mkdir(parents=True, exist_ok=True)
    records.write_record(folder / "record.json", RECORD | changes)
    records.write_history(folder / "history.csv", HISTORY)
    return TrainedNetwork.read("resnet20", folder)


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """One store for all tests here: creating it takes seconds."""
    return tmp_path_factory.mktemp("mlflow")


def runs_of(root: Path, study: str, kind: str = "network") -> list:
    client = MlflowClient(tracking_uri(root))
    return client.search_runs([client.get_experiment_by_name(study).experiment_id], f"tags.kind = '{kind}'")


def test_a_network_is_one_run_with_everything(root, tmp_path):
    trained = network(tmp_path / "a")
    run_id = Store(root, "all").log(trained)
    (run,) = runs_of(root, "all")
    assert run.info.run_name == "resnet20-s0"
    assert run.info.status == "FINISHED"
    assert run.data.params == {
        "model.name": "tau_resnet",
        "model.tau": "1/sqrt(L)",
        "augment": '[{"name": "flip"}]',
        "tau": "0.333",
    }
    assert run.data.metrics["test/error"] == pytest.approx(0.5 / 400)
    assert next(iter(run.data.metrics)) == "test/error"  # MLflow's page that compares runs begins with it
    assert {run.data.tags[key] for key in ("experiment", "seed", "dataset.checksum")} == {"resnet20", "0", "cafe"}
    client = MlflowClient(tracking_uri(root))
    assert [metric.value for metric in client.get_metric_history(run_id, "train/loss")] == pytest.approx(
        [1 / n for n in range(1, 401)]
    )
    assert {file.path for file in client.list_artifacts(run_id)} == {"record.json", "history.csv"}
    assert (root / "mlartifacts" / "all").is_dir()


def test_logging_again_makes_no_second_run(root, tmp_path):
    trained = network(tmp_path / "a")
    first = Store(root, "again").log(trained)
    assert Store(root, "again").log(trained) == first
    Store(root, "again").log(network(tmp_path / "b", seed=1))
    assert len(runs_of(root, "again")) == 2


def test_a_run_cut_off_while_it_was_logged_is_logged_anew(root, tmp_path):
    trained, store = network(tmp_path / "a"), Store(root, "cut")
    store.client.create_run(store.experiment_id, run_name="half", tags={"reslab.run": trained.key})
    store.log(trained)
    (run,) = runs_of(root, "cut")
    assert run.info.status == "FINISHED"
    store.client.create_run(store.experiment_id, run_name="half", tags={"reslab.run": "resnet20-other", "kind": "experiment"})
    store.log(network(tmp_path / "b", identity="other"))
    assert [run.info.status for run in runs_of(root, "cut", "experiment")] == ["FINISHED", "FINISHED"]


def test_networks_are_nested_in_a_run_of_their_experiment(root, tmp_path):
    store = Store(root, "nested")
    for seed in (0, 1):
        store.log(network(tmp_path / f"s{seed}", seed=seed, started=1_700_000_000 + 10 * seed))
    store.log(network(tmp_path / "changed", identity="other"))
    parents = {run.data.tags["reslab.run"]: run for run in runs_of(root, "nested", "experiment")}
    assert set(parents) == {"resnet20-abc", "resnet20-other"}
    first = parents["resnet20-abc"]
    assert first.info.run_name == "resnet20"
    assert (first.info.start_time, first.info.end_time) == (1_700_000_000_000, 1_700_000_012_500)
    assert first.data.params["tau"] == "0.333"
    places = [(run.info.run_name, run.data.tags["mlflow.parentRunId"] == first.info.run_id) for run in runs_of(root, "nested")]
    assert sorted(places) == [("resnet20-s0", False), ("resnet20-s0", True), ("resnet20-s1", True)]


def test_a_deleted_experiment_run_is_made_again_around_the_networks_that_are_there(root, tmp_path):
    trained, store = network(tmp_path / "a"), Store(root, "orphan")
    logged = store.log(trained)
    (parent,) = runs_of(root, "orphan", "experiment")
    store.client.delete_run(parent.info.run_id)
    assert store.log(trained) == logged
    (anew,) = runs_of(root, "orphan", "experiment")
    (run,) = runs_of(root, "orphan")
    assert run.data.tags["mlflow.parentRunId"] == anew.info.run_id != parent.info.run_id


def test_a_run_of_the_time_without_hierarchy_gets_its_place(root, tmp_path):
    trained, store = network(tmp_path / "a"), Store(root, "flat")
    logged = store.log(trained)
    for tag in ("mlflow.parentRunId", "kind"):
        store.client.delete_tag(logged, tag)
    assert runs_of(root, "flat") == []
    store.log(trained)
    assert [run.info.run_id for run in runs_of(root, "flat")] == [logged]


def test_the_report_is_logged_once_per_result(root, tmp_path):
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "results.md").write_text("table")
    store = Store(root, "report")
    first = store.log_report([tmp_path / "tables"])
    assert store.log_report([tmp_path / "tables"]) == first
    (tmp_path / "tables" / "results.md").write_text("another table")
    assert store.log_report([tmp_path / "tables"]) != first
    assert [file.path for file in store.client.list_artifacts(first, "tables")] == ["tables/results.md"]


def log_one(root: str, folder: str, seed: int) -> None:
    Store(Path(root), "race").log(network(Path(folder), seed=seed))


@pytest.mark.slow
def test_four_processes_may_open_a_store_that_does_not_exist_yet(tmp_path):
    with ProcessPoolExecutor(4, mp_context=get_context("spawn")) as pool:
        list(pool.map(log_one, [str(tmp_path)] * 4, [str(tmp_path / f"s{seed}") for seed in range(4)], range(4)))
    assert {run.info.run_name for run in runs_of(tmp_path, "race")} == {f"resnet20-s{seed}" for seed in range(4)}
    assert len(runs_of(tmp_path, "race", "experiment")) == 1


@pytest.mark.parametrize("uri", ["http://127.0.0.1:9", "http://no-such-host.invalid:5000", "sqlite:////proc/no/such/mlflow.db"])
def test_a_store_out_of_reach_is_a_warning_within_seconds(root, tmp_path, monkeypatch, capsys, uri):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    trained, began = network(tmp_path / "a"), time.monotonic()
    attempt(lambda: Store(root, "down").log(trained), trained.name)
    assert time.monotonic() - began < 20
    message = capsys.readouterr().err
    assert message.splitlines()[-1].startswith("warning: resnet20-s0 not logged to MLflow (")
    assert "`reslab relog` will log it" in message
