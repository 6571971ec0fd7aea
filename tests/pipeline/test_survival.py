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
from unittest import mock

import pytest
from commands import NO_MLFLOW
from mlflow.tracking import MlflowClient
from project import SMALL_PARAMS, call, copy, digest, records, runs_in_mlflow, start, starts

EPOCHS = 30
LONG = SMALL_PARAMS.replace("epochs: 2", f"epochs: {EPOCHS}")
TRAIN = ("dvc", "repro", "train@plain-tau")


@pytest.fixture
def described(project) -> Path:
    """The long study before its training."""
    (project / "params.yaml").write_text(LONG)
    call(project, "dvc", "repro", "describe@plain-tau")
    return project


def end_all(process: subprocess.Popen) -> None:
    """As batch schedulers do it: each process is told to stop, and saves once more."""
    os.killpg(process.pid, signal.SIGTERM)


def kill_dvc_alone(process: subprocess.Popen) -> None:
    """The stage and its workers live on for a moment."""
    os.kill(process.pid, signal.SIGKILL)


def kill_all(process: subprocess.Popen) -> None:
    """As a machine that goes down."""
    os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.slow
def test_training_that_is_stopped_and_killed_in_every_way_ends_in_the_same_bytes(described, tmp_path, monkeypatch):
    """Each in the run that resumes after the one before; a seed that was interrupted resumes from its last checkpoint."""
    straight, resumed = copy(described, tmp_path / "straight"), Counter()
    with mock.patch.dict(os.environ, NO_MLFLOW):
        call(straight, *TRAIN)
    monkeypatch.setenv("SHELL", "/bin/sh")  # stays between DVC and the stage where it is dash
    for interrupt in (end_all, kill_dvc_alone, kill_all):
        began = time.time()
        process = start(described, *TRAIN)
        wait_for_a_new_checkpoint(described, process, began)
        if interrupt is end_all:
            wait_for_mlflow(described, process)
            began = time.time()
        interrupt(process)
        process.wait()
        wait_for_processes_to_end(described)
        stopped = interrupted(described, began)
        assert stopped
        resumed.update(stopped)
        if interrupt is end_all:
            assert {seed for seed, status in statuses(described).items() if status == "KILLED"} == stopped
    call(described, *TRAIN)
    found = {seed: record["resumed"] for (name, seed), record in records(described).items() if name == "plain-tau"}
    assert found == {0: resumed[0], 1: resumed[1]}
    assert_same_bytes(described, straight)
    assert statuses(described) == {0: "FINISHED", 1: "FINISHED"}
    assert_each_epoch_is_once_in_mlflow(described)


def long_runs(folder: Path) -> list:
    """What MLflow holds of the long study: the store has the small one's networks too."""
    return [run for run in runs_in_mlflow(folder) if run.data.params.get("train.epochs") == str(EPOCHS)]


def statuses(folder: Path) -> dict[int, str]:
    """seed -> the status of its run in MLflow."""
    return {int(run.data.tags["seed"]): run.info.status for run in long_runs(folder)}


def assert_each_epoch_is_once_in_mlflow(folder: Path) -> None:
    """Two networks, each one run, whatever was logged before it was interrupted and after."""
    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    found = long_runs(folder)
    assert sorted(run.info.run_name for run in found) == ["plain-tau-s0", "plain-tau-s1"]
    for run in found:
        for key in ("train/loss", "epoch/seconds"):
            steps = [metric.step for metric in client.get_metric_history(run.info.run_id, key)]
            assert len(steps) == len(set(steps))
            assert key == "epoch/seconds" or len(steps) == EPOCHS


def wait_for_a_new_checkpoint(folder: Path, process: subprocess.Popen, began: float) -> None:
    """Wait until some seed has written a checkpoint in this run: most of its training is still to come."""
    while process.poll() is None:
        if any(modified(path) > began for path in folder.glob("checkpoints/*/seed*/checkpoint.pt")):
            return
        time.sleep(0.02)
    pytest.fail(f"no checkpoint before the run ended (status {process.poll()})")


def wait_for_mlflow(folder: Path, process: subprocess.Popen) -> None:
    """Wait until the stage has a run in its store, which takes seconds beside the training."""
    while process.poll() is None:
        with (
            contextlib.suppress(sqlite3.OperationalError),
            contextlib.closing(sqlite3.connect(store_of(folder), uri=True)) as store,
        ):
            if store.execute("SELECT name FROM runs WHERE status = 'RUNNING' AND name LIKE 'plain-tau-s%'").fetchall():
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
