"""`python`, `dvc` and `reslab` whose libraries are loaded: a command starts at once, where importing takes it seconds.

For tests of what commands do. How they start, what they load, and what becomes of their processes is tested with Python itself.
"""

import functools
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from filelock import FileLock

HERE = Path(__file__).parent
NAMES = ("python", "dvc", "reslab")
OWN = ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "DVC_", "MLFLOW_", "RESLAB_")  # of single tests
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith(OWN)}


@functools.cache
def tools() -> Path:
    """The folder of the commands, for the head of PATH. One process serves all workers of a test run, and ends with it.

    Where it cannot be started, the commands are Python's own.
    """
    if "PYTEST_XDIST_TESTRUNUID" not in os.environ:
        folder = Path(tempfile.mkdtemp(prefix="reslab-tests-"))
        _start(folder, os.getpid())
        return folder
    folder = Path(tempfile.gettempdir(), f"reslab-tests-{os.environ['PYTEST_XDIST_TESTRUNUID']}")
    folder.mkdir(mode=0o700, exist_ok=True)
    with FileLock(folder / "lock"):
        if not (folder / "socket").exists():
            _start(folder, os.getppid())
    return folder


def _start(folder: Path, run: int) -> None:
    """Make the commands, and start the process that has the libraries, which ends with the process `run`."""
    text = (HERE / "client.py").read_text()
    for name in NAMES:
        (folder / name).write_text(f"#!{sys.executable} -IS\n{text}")
        (folder / name).chmod(0o700)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "socket"))
        listener.listen(64)
        command = [sys.executable, "-m", "loaded.server", str(folder), str(listener.fileno()), str(run)]
        passed = {"stdin": subprocess.DEVNULL, "pass_fds": [listener.fileno()], "start_new_session": True}
        subprocess.Popen(command, cwd=HERE.parent, env=ENVIRONMENT, **passed)
