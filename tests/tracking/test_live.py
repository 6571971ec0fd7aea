"""Runs in MLflow while their networks train: watched from outside, killed, taken up again, and never logged twice."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow.entities import Run
from mlflow.tracking import MlflowClient
from test_tracking import RECORD

from reslab import stop
from reslab.runs import records
from reslab.runs.reports import Began, EpochEnded, Report
from reslab.tracking import BackgroundLog, Store, TrainedNetwork, tracking_uri

EPOCHS = 5
LIVE = RECORD | {"status": "running", "torch": "2.15", "dataset": {"name": "digits", "train": 1437, "validation": 0, "test": 360}}
BEGAN = RECORD["started"]


def row(epoch: int, loss: float = 1.0) -> dict[str, float]:
    return {"epoch": epoch, "lr": 0.1, "train_loss": loss / epoch, "test_error": 0.5 / epoch}


def ended(seed: int, epoch: int, seconds: float = 10.0) -> Report:
    told = EpochEnded(row(epoch), 143.7, seconds, BEGAN + 10.0 * epoch)
    return Report(seed, epoch, EPOCHS, epoch, EPOCHS, "training", told.row, told.images_per_second, told)


def finished(folder: Path, loss: float = 1.0, **changes) -> TrainedNetwork:
    folder.mkdir(parents=True, exist_ok=True)
    records.write_record(folder / "record.json", LIVE | {"status": "finished"} | changes)
    records.write_history(folder / "history.csv", [row(epoch, loss) for epoch in range(1, EPOCHS + 1)])
    return TrainedNetwork.read("resnet20", folder)


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """One store for all tests here: creating it takes seconds."""
    folder = tmp_path_factory.mktemp("mlflow")
    Store(folder, "made")
    return folder


def runs(root: Path, study: str) -> dict[str, Run]:
    """The study's runs by name, of which no two are the same."""
    client = MlflowClient(tracking_uri(root))
    study_there = client.get_experiment_by_name(study)
    found = client.search_runs([study_there.experiment_id]) if study_there else []
    assert len({run.info.run_name for run in found}) == len(found)
    return {run.info.run_name: run for run in found}


def history(root: Path, run: Run, key: str = "train/loss") -> list[tuple[int, float]]:
    return sorted(
        (metric.step, metric.value) for metric in MlflowClient(tracking_uri(root)).get_metric_history(run.info.run_id, key)
    )


def wait_until(true: Callable[[], bool]) -> None:
    for _ in range(1200):
        if true():
            return
        time.sleep(0.05)
    pytest.fail("it did not come to that")


def has_epochs(root: Path, study: str, names: list[str], epochs: int) -> bool:
    found = runs(root, study)
    return all(name in found and len(history(root, found[name])) == epochs for name in names)


@pytest.fixture(scope="module")
def watched(root, tmp_path_factory) -> tuple[dict[str, Run], dict[str, Run], dict[str, Run]]:
    """The runs of two networks after two epochs of both, when one of them has finished, and in the end, when the other diverged."""
    folder, names = tmp_path_factory.mktemp("watched"), ["resnet20-s0", "resnet20-s1"]
    with pytest.MonkeyPatch.context() as environment, BackgroundLog(root, "watched") as log:
        environment.setenv("DVC_EXP_NAME", "tau136")
        for seed in (0, 1):
            log.update(Began("resnet20", LIVE | {"seed": seed}, []))
            log.update(ended(seed, 1))
        wait_until(lambda: has_epochs(root, "watched", names, 1))
        for seed in (0, 1):
            log.update(ended(seed, 2))
        wait_until(lambda: has_epochs(root, "watched", names, 2))
        training = runs(root, "watched")
        for epoch in (3, 4, 5):
            log.update(ended(0, epoch))
        log.log(finished(folder / "s0"))
        wait_until(lambda: runs(root, "watched")["resnet20-s0"].info.status != "RUNNING")
        one_done = runs(root, "watched")
        log.log(finished(folder / "s1", seed=1, status="diverged"))
    return training, one_done, runs(root, "watched")


def test_all_three_levels_can_be_watched_and_end_as_the_training_does(watched):
    training, one_done, end = (
        [levels[name].info.status for name in ("resnet20", "resnet20-s0", "resnet20-s1")] for levels in watched
    )
    assert training == ["RUNNING", "RUNNING", "RUNNING"]
    assert one_done == ["RUNNING", "FINISHED", "RUNNING"]
    assert end == ["FINISHED", "FINISHED", "FAILED"]
    assert watched[2]["resnet20-s1"].data.tags["status"] == "diverged"
    assert len({tuple(sorted(run.info.run_id for run in levels.values())) for levels in watched}) == 1
    assert {run.data.tags.get("mlflow.parentRunId") for run in watched[0].values()} == {None, watched[0]["resnet20"].info.run_id}


@pytest.mark.parametrize("name", ["resnet20-s0", "resnet20-s1"])
def test_each_epoch_is_there_once_logged_live_or_from_the_record(root, watched, name):
    assert history(root, watched[2][name]) == [(epoch, 1 / epoch) for epoch in range(1, EPOCHS + 1)]


def test_epochs_have_the_times_when_they_ended(root, watched):
    run = watched[2]["resnet20-s0"]
    assert history(root, run, "epoch/seconds") == [(epoch, 10.0) for epoch in range(1, EPOCHS + 1)]
    stamps = MlflowClient(tracking_uri(root)).get_metric_history(run.info.run_id, "train/loss")
    assert {metric.step: metric.timestamp for metric in stamps} == {n: (BEGAN + 10 * n) * 1000 for n in range(1, EPOCHS + 1)}
    assert (run.info.start_time, run.info.end_time) == (BEGAN * 1000, (BEGAN + 50) * 1000)


def test_a_run_says_on_what_it_trains_and_each_level_whose_it_is(root, watched, monkeypatch):
    training = watched[0]
    network = training["resnet20-s0"]
    ((described, tags),) = [(given.dataset, given.tags) for given in network.inputs.dataset_inputs]
    assert (described.name, described.digest, described.profile) == ("digits", "cafe", '{"train": 1437, "test": 360}')
    assert tags[0].value == "train, test"
    assert [given.dataset for given in training["resnet20"].inputs.dataset_inputs] == [described]
    assert (network.data.tags["torch"], network.data.tags["device"]) == ("2.15", "cpu")
    client = MlflowClient(tracking_uri(root))
    monkeypatch.setenv("DVC_EXP_NAME", "tau136")
    summary = client.get_run(Store(root, "watched").log_report([])).data.tags
    study = client.get_experiment_by_name("watched").tags
    for tags in (network.data.tags, training["resnet20"].data.tags, summary, study):
        assert (tags["dvc.exp_name"], tags["mlflow.source.git.commit"]) == ("tau136", "1234")
        assert tags["mlflow.user"]


def test_relog_adds_nothing_to_what_was_logged_live(root, tmp_path):
    trained = finished(tmp_path / "s0")
    with BackgroundLog(root, "relogged") as log:
        log.update(Began("resnet20", LIVE, []))
        for epoch in range(1, EPOCHS + 1):
            log.update(ended(0, epoch))
        log.log(trained)

    def content() -> dict:
        keys = ("train/loss", "test/error", "lr", "epoch/seconds", "seconds", "parameters")
        return {
            name: [run.to_dictionary(), *(history(root, run, key) for key in keys)] for name, run in runs(root, "relogged").items()
        }

    before = content()
    Store(root, "relogged").log(trained)
    assert content() == before
    assert len(before["resnet20-s0"][1]) == EPOCHS


BEGIN = """
import sys, time
from pathlib import Path
sys.path[:0] = {paths!r}
from test_live import LIVE, Began, BackgroundLog, ended
with BackgroundLog(Path({root!r}), "killed") as log:
    log.update(Began("resnet20", LIVE, []))
    for epoch in (1, 2, 3):
        log.update(ended(0, epoch))
    time.sleep(600)
"""


def test_a_run_that_was_left_by_kill_9_is_taken_up_and_no_epoch_is_twice(root, tmp_path):
    here = Path(__file__)
    paths = [str(here.parent), str(here.parents[1] / "support")]
    process = subprocess.Popen([sys.executable, "-c", BEGIN.format(paths=paths, root=str(root))])
    wait_until(lambda: process.poll() is not None or has_epochs(root, "killed", ["resnet20-s0"], 3))
    process.send_signal(signal.SIGKILL)
    process.wait()
    left = runs(root, "killed")
    assert [left[name].info.status for name in ("resnet20", "resnet20-s0")] == ["RUNNING", "RUNNING"]
    with BackgroundLog(root, "killed") as log:
        log.update(Began("resnet20", LIVE, [row(1), row(2)]))  # from a checkpoint: the third epoch is trained again
        for epoch in (3, 4, 5):
            log.update(ended(0, epoch, seconds=99.0))
        log.log(finished(tmp_path / "s0"))
    after = runs(root, "killed")
    assert {name: run.info.run_id for name, run in after.items()} == {name: run.info.run_id for name, run in left.items()}
    assert {run.info.status for run in after.values()} == {"FINISHED"}
    assert history(root, after["resnet20-s0"]) == [(epoch, 1 / epoch) for epoch in range(1, EPOCHS + 1)]
    assert history(root, after["resnet20-s0"], "epoch/seconds") == [(1, 10.0), (2, 10.0), (3, 10.0), (4, 99.0), (5, 99.0)]


@pytest.mark.parametrize(("error", "status"), [(stop.Stopped("SIGTERM"), "KILLED"), (ValueError("broken"), "FAILED")])
def test_what_did_not_come_to_its_end_says_why_and_can_go_on(root, tmp_path, error, status):
    study = f"ended-{status}"
    with pytest.raises(type(error)), BackgroundLog(root, study) as log:
        log.update(Began("resnet20", LIVE, []))
        log.update(ended(0, 1))
        raise error
    before = runs(root, study)
    assert before["resnet20-s0"].info.status == status
    assert before["resnet20-s0"].data.tags["status"] == status.lower()
    assert before["resnet20"].info.status == status
    with BackgroundLog(root, study) as log:
        log.update(Began("resnet20", LIVE, [row(1)]))
        wait_until(lambda: {run.info.status for run in runs(root, study).values()} == {"RUNNING"})
        log.log(finished(tmp_path / "s0"))
    after = runs(root, study)
    assert after["resnet20-s0"].info.run_id == before["resnet20-s0"].info.run_id
    assert {run.info.status for run in after.values()} == {"FINISHED"}
    assert [epoch for epoch, _ in history(root, after["resnet20-s0"])] == [1, 2, 3, 4, 5]
