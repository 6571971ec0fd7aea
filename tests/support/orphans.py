"""Processes that must end with the one that started them."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest


def is_running(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:  # it is gone, perhaps while it was read
        return False


def assert_ends_with(parent: subprocess.Popen, folder: Path, seconds: int = 10) -> None:
    """The process whose number is written into the folder ends soon after the parent is killed."""
    while not (folder / "pid").exists() or not (folder / "pid").read_text():
        time.sleep(0.05)
        assert parent.poll() is None
    pid = int((folder / "pid").read_text())
    assert is_running(pid)
    parent.kill()
    parent.wait()
    for _ in range(10 * seconds):
        if not is_running(pid):
            return
        time.sleep(0.1)
    os.kill(pid, signal.SIGKILL)
    pytest.fail(f"outlived its parent by {seconds} seconds")
