"""Programs that stand for Slurm's own."""

import os
import time
from pathlib import Path

import pytest
from orphans import is_running

from reslab.grid import queue
from reslab.grid.networks import Network
from reslab.runs.jobs import Job

SILENT = 'sleep 1000 &\necho $$ $! > "$0.pids"\nwait'


def first_on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for programs, and short limits for them."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    program(folder, "scontrol", "echo 'MaxArraySize            = 2'")
    monkeypatch.setattr(queue, "SECONDS", 0.5)
    monkeypatch.setattr(queue, "SECONDS_TO_SUBMIT", 0.5)
    monkeypatch.setattr(queue, "SECONDS_TO_APPEAR", 0.5)
    monkeypatch.setattr(queue, "SECONDS_BETWEEN_LOOKS", 0.1)
    return folder


def program(folder: Path, name: str, script: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def is_gone(started: Path) -> bool:
    """Whether neither the program nor what it had started is left, a moment after both were killed."""
    numbers = [int(number) for number in Path(f"{started}.pids").read_text().split()]
    until = time.monotonic() + 5
    while any(map(is_running, numbers)) and time.monotonic() < until:  # a killed process takes the kernel a moment
        time.sleep(0.01)
    return not any(map(is_running, numbers))


def networks(count: int) -> list[Network]:
    return [Network(Job("plain", {}, "abc", seed, Path(), {}, 1)) for seed in range(count)]
