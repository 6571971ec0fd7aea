"""DVC's queue whose worker is killed: `dvc queue kill` frees it, and what was trained is kept."""

import os
import signal
import time
from pathlib import Path
from unittest import mock

import psutil
import pytest
from commands import NO_MLFLOW
from project import call, copy, digest, edit, start
from test_survival import modified

QUEUE = ("dvc", "exp", "run", "--queue", "train@plain-tau", "--name")


@pytest.mark.exhaustive
def test_a_queue_whose_worker_was_killed_works_again(project, tmp_path):
    """As docs/reliability.md says it: the first `kill` ends what runs, the next one marks it as Failed."""
    edit(project, "params.yaml", "epochs: 2", "epochs: 30")
    straight = copy(project, tmp_path / "straight")
    with mock.patch.dict(os.environ, NO_MLFLOW):
        call(straight, "dvc", "repro", "train@plain-tau")
        call(project, *QUEUE, "first")
        start(project, "dvc", "queue", "start").wait()
        kill_worker_while_it_trains(project)
        assert "Running" in call(project, "dvc", "queue", "status").stdout, "nobody told DVC"
        kill_until_it_has_failed(project)
        call(project, *QUEUE, "second")
        assert call(project, "timeout", "120", "dvc", "exp", "run", "--run-all").returncode == 0
    status = call(project, "dvc", "queue", "status").stdout
    assert sorted(word for word in status.split() if word in ("Failed", "Running", "Success", "Queued")) == ["Failed", "Success"]
    assert weights(project) == weights(straight)


def kill_worker_while_it_trains(folder: Path) -> None:
    """SIGKILL to the worker alone: what it started runs on."""
    began = time.time()
    while not any(modified(path) > began for path in folder.glob("checkpoints/*/seed*/checkpoint.pt")):
        assert time.time() - began < 200, "no checkpoint"
        time.sleep(0.05)
    for process in psutil.process_iter(["cmdline", "cwd"]):
        if process.info["cwd"] == str(folder) and "queue-worker" in (process.info["cmdline"] or ()):
            process.send_signal(signal.SIGKILL)


def kill_until_it_has_failed(folder: Path) -> None:
    for _ in range(20):  # each takes seconds
        call(folder, "dvc", "queue", "kill", "first", check=False)
        if "Failed" in (status := call(folder, "dvc", "queue", "status").stdout):
            return
    pytest.fail(f"not freed:\n{status}")


def weights(folder: Path) -> dict[str, str]:
    """Checksums of all networks, by their place in checkpoints/."""
    return {str(path.relative_to(folder)): digest(path) for path in folder.glob("checkpoints/*/seed*/finished/model.safetensors")}
