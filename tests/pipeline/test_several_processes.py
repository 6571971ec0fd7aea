"""The stage `train` with several processes for each network: by an environment variable, and under torchrun on one or two nodes."""

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from project import call, edit, environment, free_port

from reslab.runs.records import read_history, read_record

pytestmark = pytest.mark.slow
COMMAND = ["stages/train.py", "plain-tau", "metrics/models/plain-tau.json", "data/runs/plain-tau"]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run"]


def trained_again(folder: Path, *command: str) -> bytes:
    """Train from the start; return what the history holds."""
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    call(folder, "env", "PYTHONPATH=src", *command, *COMMAND)
    return history(folder)


def history(folder: Path) -> bytes:
    return (folder / "data/runs/plain-tau/seed0/history.csv").read_bytes()


@pytest.fixture
def one_seed(project) -> Path:
    edit(project, "params.yaml", "- 0\n- 1\n", "- 0\n")
    return project


def test_two_processes_train_what_one_has_trained(one_seed):
    alone = read_history(one_seed / "data/runs/plain-tau/seed0/history.csv")
    trained_again(one_seed, "RESLAB_PROCESSES=2", sys.executable)
    folder = one_seed / "data/runs/plain-tau/seed0"
    for row, other in zip(read_history(folder / "history.csv"), alone, strict=True):
        assert row == pytest.approx(other, rel=0.05, abs=0.05)  # float32: rounding grows, to 0.022 on one processor
    assert read_record(folder / "record.json")["processes"] == [{"from_epoch": 1, "processes": 2}]


def test_a_run_is_stopped_and_goes_on_as_two_nodes_of_which_one_loses_its_process(one_seed):
    """SIGTERM to all of torchrun's processes, as Slurm sends it; then two torchruns of one process each, one of which is killed."""
    edit(one_seed, "params.yaml", "epochs: 2", "epochs: 4")
    call(one_seed, "dvc", "repro", "--quiet", "--single-item", "describe@plain-tau")
    together = trained_again(one_seed, "RESLAB_PROCESSES=2", sys.executable)
    shutil.rmtree(one_seed / "checkpoints")

    (stopped,) = torchruns(one_seed, "--nproc-per-node", "2")
    after_the_next_checkpoint(one_seed, lambda: send(signal.SIGTERM, stopped, 0, 1))
    assert stopped.communicate(timeout=120)[1].count("stopped by ") == 1
    assert not (one_seed / "data/runs/plain-tau/seed0").exists()

    at = ["--rdzv-backend", "c10d", "--rdzv-endpoint", f"localhost:{free_port()}", "--rdzv-id", "test"]
    nodes = torchruns(one_seed, "--nnodes", "2", "--nproc-per-node", "1", "--max-restarts", "2", *at, count=2)
    after_the_next_checkpoint(one_seed, lambda: send(signal.SIGKILL, *nodes, 1))
    for node in nodes:
        said = node.communicate(timeout=300)[1]
        assert node.returncode == 0, said
    assert history(one_seed) == together
    assert read_record(one_seed / "data/runs/plain-tau/seed0/record.json")["resumed"] == 2


def torchruns(folder: Path, *options: str, count: int = 1) -> list[subprocess.Popen]:
    """Start torchrun, once a node."""
    command, pipes = [*TORCHRUN, *options, *COMMAND], {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    return [
        subprocess.Popen(command, cwd=folder, env=environment(fresh=True) | {"PYTHONPATH": "src"}, start_new_session=True, **pipes)
        for _ in range(count)
    ]


def after_the_next_checkpoint(folder: Path, then: Callable[[], object]) -> None:
    """Call `then` as soon as a checkpoint is there that was not before."""
    since = time.time()
    while not any(path.stat().st_mtime > since for path in folder.glob("checkpoints/*/seed0/checkpoint.pt")):
        time.sleep(0.01)
    then()


def send(number: int, *launchers_and_ranks: subprocess.Popen | int) -> None:
    """Send a signal to those of torchrun's processes that have these ranks."""
    launchers = [each for each in launchers_and_ranks if isinstance(each, subprocess.Popen)]
    ranks = [str(each) for each in launchers_and_ranks if isinstance(each, int)]
    started = [child for each in launchers for child in psutil.Process(each.pid).children() if "RANK" in child.environ()]
    chosen = [child for child in started if child.environ()["RANK"] in ranks]
    assert len(chosen) == len(ranks)
    for child in chosen:
        child.send_signal(number)
