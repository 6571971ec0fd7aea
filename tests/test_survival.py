"""Kills, lost stores and dead servers, for real: nothing computed is lost."""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from project import SMALL_PARAMS, call, clone, digest, records, runs_in_mlflow, start

LONG = SMALL_PARAMS.replace("epochs: 2", "epochs: 90").replace(
    "  own-tau:\n    model:\n      norm: none\n      tau: 1/sqrt(L)\n", ""
)


@pytest.fixture(scope="module")
def straight(tmp_path_factory) -> Path:
    """The long study trained without interruption."""
    folder = clone(tmp_path_factory.mktemp("straight") / "reslab", LONG)
    call(folder, "dvc", "repro", "train")
    return folder


def test_kill_and_repro_again_ends_in_the_same_bytes(straight, tmp_path):
    killed = clone(tmp_path / "killed", LONG)
    for seconds in (0.5, 1.0):  # twice, the second time in the resumed run
        process = start(killed, "dvc", "repro", "train")
        wait_for_new_checkpoint(killed, process)
        time.sleep(seconds)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert not list(killed.glob("checkpoints/*/seed*/finished"))
    call(killed, "dvc", "repro", "train")
    assert {record["resumed"] for record in records(killed).values()} == {2}
    for seed in (0, 1):
        for name in ("model.safetensors", "history.csv"):
            path = Path("data/runs/plain-tau", f"seed{seed}", name)
            assert digest(killed / path) == digest(straight / path), path


def wait_for_new_checkpoint(folder: Path, process: subprocess.Popen) -> None:
    """Wait until both seeds have written a checkpoint in this run."""
    began = time.time()
    while process.poll() is None and time.time() - began < 120:
        found = list(folder.glob("checkpoints/*/seed*/checkpoint.pt"))
        if len(found) == 2 and all(path.stat().st_mtime > began for path in found):
            return
        time.sleep(0.05)
    pytest.fail(f"no checkpoint before the run ended (status {process.poll()})")


def test_killing_dvc_alone_ends_its_stage_and_loses_nothing(straight, tmp_path):
    folder = clone(tmp_path / "killed", LONG)
    process = start(folder, "dvc", "repro", "train")
    wait_for_new_checkpoint(folder, process)
    os.kill(process.pid, signal.SIGKILL)  # the stage and its workers live on for a moment
    process.wait()
    call(folder, "dvc", "repro", "train")
    assert not [path for path in Path("/proc").glob("[0-9]*") if is_at_work(path, folder)]
    assert min(record["resumed"] for record in records(folder).values()) >= 1
    for seed in (0, 1):
        path = Path("data/runs/plain-tau", f"seed{seed}", "model.safetensors")
        assert digest(folder / path) == digest(straight / path)


def is_at_work(process: Path, folder: Path) -> bool:
    try:
        return (process / "cwd").resolve() == folder.resolve() and b"python" in (process / "cmdline").read_bytes()
    except OSError:
        return False


def test_losing_mlflow_costs_nothing(project):
    names = {run.info.run_name for run in runs_in_mlflow(project)}
    (project / "mlflow.db").unlink()
    shutil.rmtree(project / "mlartifacts")
    assert "Data and pipelines are up to date." in call(project, "dvc", "repro").stdout
    for _ in range(2):  # the second time changes nothing
        assert "4 networks of the study small are in MLflow" in call(project, "reslab", "relog").stdout
        assert {run.info.run_name for run in runs_in_mlflow(project)} == names
        assert len(runs_in_mlflow(project)) == 4


def test_a_dead_tracking_server_stops_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    folder = clone(tmp_path / "reslab", SMALL_PARAMS)
    done = call(folder, "dvc", "repro")
    assert "warning: own-tau-s0 not logged to MLflow" in done.stderr
    assert len(records(folder)) == 4
