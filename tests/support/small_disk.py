"""A disk that is full, or read-only: a small tmpfs in a mount namespace of the command's own, where this machine allows it."""

import functools
import os
import subprocess
import sys
from pathlib import Path

import pytest


@functools.cache
def _how() -> list[str] | None:
    """The command that gives another one its own mounts; None where that is not allowed."""
    for command in (["unshare", "-m"], ["unshare", "-rm"]):
        try:
            trial = subprocess.run([*command, "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, check=False)
        except FileNotFoundError:
            return None
        if trial.returncode == 0:
            return command
    return None


def run(
    code: str, cwd: Path, *, disk: Path, size: str = "1m", prepare: str = "true", **environment: str
) -> subprocess.CompletedProcess:
    """Run Python code in a process for which `disk` is a tmpfs of `size`; skips the test where nobody may mount one."""
    if _how() is None:
        pytest.skip("no mount of a small disk is allowed here (unshare -m)")
    script = f'mount -t tmpfs -o size={size},mode=1777 tmpfs "$1" && {prepare} && exec "$2" -c "$3"'
    command = [*_how(), "bash", "-c", script, "bash", str(disk), sys.executable, code]
    return subprocess.run(command, cwd=cwd, env=os.environ | environment, capture_output=True, text=True, check=False, timeout=300)
