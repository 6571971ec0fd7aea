"""Kills, lost stores and dead servers, for real: nothing computed is lost."""

import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient
from project import SMALL_PARAMS, built_once, call, copy, digest, records, runs_in_mlflow, start, starts

LONG = SMALL_PARAMS.replace("epochs: 2", "epochs: 60").replace(
    "  own-tau:\n    model:\n      norm: none\n      tau: 1/sqrt(L)\n", ""
)


def described(folder: Path) -> Path:
    """The long study before its training, next to where it has been trained."""
    return folder.with_name("described")


@pytest.fixture(scope="session")
def straight(trained, shared) -> Path:
    """The long study trained without interruption."""

    def build(folder: Path) -> None:
        start = copy(trained, described(folder))
        for results in ("checkpoints", "data/runs"):
            shutil.rmtree(start / results)
        (start / "params.yaml").write_text(LONG)
        call(start, "dvc", "repro", "describe")
        call(copy(start, folder), "dvc", "repro", "train")

    return built_once(shared / "long" / "reslab", build)


def test_kill_and_repro_again_ends_in_the_same_bytes(straight, tmp_path):
    killed, interruptions = copy(described(straight), tmp_path / "killed"), Counter()
    for _ in range(2):  # the second time in the resumed run
        began = time.time()
        process = start(killed, "dvc", "repro", "train")
        wait_for_a_new_checkpoint(killed, process, began)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        wait_for_processes_to_end(killed)
        interruptions.update(interrupted(killed, began))
    assert interruptions.total() >= 2
    call(killed, "dvc", "repro", "train")
    assert {seed: record["resumed"] for (_, seed), record in records(killed).items()} == {0: interruptions[0], 1: interruptions[1]}
    assert_same_bytes(killed, straight)
    assert_each_epoch_is_once_in_mlflow(killed)


def test_killing_dvc_alone_ends_its_stage_and_loses_nothing(straight, tmp_path, monkeypatch):
    monkeypatch.setenv("SHELL", "/bin/sh")  # stays between DVC and the stage where it is dash
    folder, began = copy(described(straight), tmp_path / "killed"), time.time()
    process = start(folder, "dvc", "repro", "train")
    wait_for_a_new_checkpoint(folder, process, began)
    os.kill(process.pid, signal.SIGKILL)  # the stage and its workers live on for a moment
    process.wait()
    wait_for_processes_to_end(folder)
    stopped = interrupted(folder, began)
    assert stopped
    call(folder, "dvc", "repro", "train")
    assert {seed for (_, seed), record in records(folder).items() if record["resumed"] == 1} == stopped
    assert_same_bytes(folder, straight)


def test_a_run_that_is_told_to_stop_saves_and_goes_on_where_it_was(straight, tmp_path):
    """As batch schedulers do it: SIGTERM to all its processes."""
    folder, began = copy(described(straight), tmp_path / "stopped"), time.time()
    (folder / "mlflow.db").unlink()  # made anew, it tells that MLflow is there
    process = start(folder, "dvc", "repro", "train")
    wait_for_a_new_checkpoint(folder, process, began)
    wait_for_mlflow(folder, process)
    told = time.time()
    os.killpg(process.pid, signal.SIGTERM)
    process.wait()
    wait_for_processes_to_end(folder)
    stopped = interrupted(folder, told)  # each has saved once more
    assert stopped
    status = {int(run.data.tags["seed"]): run.info.status for run in runs_in_mlflow(folder)}
    assert {seed for seed in status if status[seed] == "KILLED"} == stopped
    call(folder, "dvc", "repro", "train")
    assert {seed for (_, seed), record in records(folder).items() if record["resumed"] == 1} == stopped
    assert [run.info.status for run in runs_in_mlflow(folder)] == ["FINISHED", "FINISHED"]
    assert_same_bytes(folder, straight)
    assert_each_epoch_is_once_in_mlflow(folder)


def assert_each_epoch_is_once_in_mlflow(folder: Path) -> None:
    """Two networks, each one run, whatever was logged before it was interrupted and after."""
    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    found = {run.info.run_name: run for run in runs_in_mlflow(folder) if run.data.params["train.epochs"] == "60"}
    assert sorted(found) == ["plain-tau-s0", "plain-tau-s1"]
    for run in found.values():
        for key in ("train/loss", "epoch/seconds"):
            steps = [metric.step for metric in client.get_metric_history(run.info.run_id, key)]
            assert len(steps) == len(set(steps))
            assert key == "epoch/seconds" or len(steps) == 60


def wait_for_a_new_checkpoint(folder: Path, process: subprocess.Popen, began: float) -> None:
    """Wait until some seed has written a checkpoint in this run: most of its training is still to come."""
    while process.poll() is None and time.time() - began < 120:
        if any(modified(path) > began for path in folder.glob("checkpoints/*/seed*/checkpoint.pt")):
            return
        time.sleep(0.02)
    pytest.fail(f"no checkpoint before the run ended (status {process.poll()})")


def wait_for_mlflow(folder: Path, process: subprocess.Popen) -> None:
    """Wait until the stage has opened its store, which takes seconds beside the training."""
    while process.poll() is None:
        with (
            contextlib.suppress(sqlite3.OperationalError),
            contextlib.closing(sqlite3.connect(store_of(folder), uri=True)) as store,
        ):
            if store.execute("SELECT name FROM experiments WHERE name = 'small'").fetchall():
                return
        time.sleep(0.1)
    pytest.fail(f"the run ended before MLflow was there (status {process.poll()})")


def store_of(folder: Path) -> str:
    """The address of the MLflow database, to be read only: looking must not make it."""
    return f"file:{folder / 'mlflow.db'}?mode=ro"


def modified(path: Path) -> float:
    """Modification time; 0 for a file that is gone by now."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def interrupted(folder: Path, began: float) -> set[int]:
    """The seeds that must resume from a checkpoint of the run that `began` then: on a busy machine one may not have come so far."""
    fresh = {path.parent for path in folder.glob("checkpoints/*/seed*/checkpoint.pt") if modified(path) > began}
    return {int(path.name.removeprefix("seed")) for path in fresh if not (path / "finished").exists()}


def wait_for_processes_to_end(folder: Path) -> None:
    """Wait until no Python process works in the folder."""
    began = time.time()
    while working := [path for path in Path("/proc").glob("[0-9]*") if is_at_work(path, folder)]:
        assert time.time() - began < 60, f"still at work: {working}"
        time.sleep(0.05)


def assert_same_bytes(folder: Path, reference: Path) -> None:
    for seed in (0, 1):
        for name in ("model.safetensors", "history.csv"):
            path = Path("data/runs/plain-tau", f"seed{seed}", name)
            assert digest(folder / path) == digest(reference / path), path


def is_at_work(process: Path, folder: Path) -> bool:
    try:
        return (process / "cwd").resolve() == folder.resolve() and b"python" in (process / "cmdline").read_bytes()
    except OSError:
        return False


def test_a_dead_tracking_server_stops_nothing(project, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    before, summary = starts(project), digest(project / "metrics" / "summary.json")
    shutil.rmtree(project / "checkpoints")
    done = call(project, "dvc", "repro", "-s", "-f", "train@own-tau", "aggregate")
    (said,) = [line for line in done.stderr.splitlines() if "not logged to MLflow" in line and "results" not in line]
    assert said.startswith("warning: own-tau-s")
    assert {"own-tau-s0", "own-tau-s1"} <= set(said.replace(",", "").split())
    assert "warning: the results not logged to MLflow" in done.stderr
    after = starts(project)
    assert {key: weights for key, (_, weights) in after.items()} == {key: weights for key, (_, weights) in before.items()}
    assert {key for key in after if after[key] != before[key]} == {("own-tau", 0), ("own-tau", 1)}  # trained again
    assert digest(project / "metrics" / "summary.json") == summary
