"""The stage `train` with several processes for each network: by an environment variable, and under torchrun."""

import shutil
import sys

import pytest
from project import call, edit

from reslab.runs.records import read_history, read_record

pytestmark = pytest.mark.slow
COMMAND = ["stages/train.py", "plain-tau", "metrics/models/plain-tau.json", "data/runs/plain-tau"]


def trained_again(folder, *command: str) -> bytes:
    """Train from the start; return what the history holds."""
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    call(folder, "env", "PYTHONPATH=src", *command, *COMMAND)
    return (folder / "data/runs/plain-tau/seed0/history.csv").read_bytes()


def test_two_processes_train_what_one_has_trained(project):
    edit(project, "params.yaml", "- 0\n- 1\n", "- 0\n")
    alone = read_history(project / "data/runs/plain-tau/seed0/history.csv")
    together = trained_again(project, "RESLAB_PROCESSES=2", sys.executable)
    folder = project / "data/runs/plain-tau/seed0"
    for row, other in zip(read_history(folder / "history.csv"), alone, strict=True):
        assert row == pytest.approx(other, rel=0.05, abs=0.05)  # float32: rounding grows, to 0.022 on one processor
    assert read_record(folder / "record.json")["processes"] == [{"from_epoch": 1, "processes": 2}]
    by_torchrun = trained_again(project, "torchrun", "--nproc-per-node", "2")
    assert by_torchrun == together
