"""NVIDIA's Multi-Process Service: processes that share a GPU run at the same time, not in slices of it."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROGRAM = "nvidia-cuda-mps-control"
SECONDS = 20  # for the daemon to start, and to end


class NoServer(Exception):
    """There is no such service here, and why."""


@contextmanager
def server(folder: Path) -> Iterator[dict[str, str]]:
    """The variables of processes that are to use it, while its daemon runs with `folder` for its pipes and logs.

    Raises NoServer. The device's compute mode stays as it is.
    """
    program = shutil.which(PROGRAM)
    if program is None:
        raise NoServer(f"no {PROGRAM} here")
    variables = {"CUDA_MPS_PIPE_DIRECTORY": str(folder / "pipes"), "CUDA_MPS_LOG_DIRECTORY": str(folder / "logs")}
    for name in variables.values():
        Path(name).mkdir(parents=True, exist_ok=True)
    environment = os.environ | variables
    options = {"env": environment, "timeout": SECONDS, "text": True}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}  # the daemon would keep a pipe open
    try:
        started = subprocess.run([program, "-d"], check=False, stdin=subprocess.DEVNULL, **quiet, **options)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoServer(f"{PROGRAM} does not start ({error})") from None
    if started.returncode:
        raise NoServer(f"{PROGRAM} ended with {started.returncode}")
    try:
        yield variables
    finally:
        try:
            subprocess.run([program], check=False, input="quit\n", **quiet, **options)
        except (OSError, subprocess.TimeoutExpired) as error:
            print(f"warning: {PROGRAM} may still run: {error}", flush=True)
