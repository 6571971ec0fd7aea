"""A process that has loaded the libraries: it answers at a socket, and a copy of it runs what is asked for.

A copy is what Python would be after the same imports, seconds later: nothing of reslab is loaded, no thread is started, nothing is
drawn or computed. What libraries read only while they are loaded must be as it was here, or Python itself runs the command.
"""

import array
import contextlib
import gc
import importlib
import json
import os
import selectors
import shutil
import signal
import socket
import sys
import threading
from pathlib import Path

from loaded.becoming import become, searched, status_of

LIBRARIES = (
    *("torch", "torchvision.transforms.v2", "numpy", "pandas", "scipy.stats", "sklearn.datasets", "safetensors.torch"),
    *("matplotlib.pyplot", "matplotlib.backends.backend_svg", "PIL.Image", "jinja2", "tabulate", "rich.progress", "typer"),
    *("mlflow.tracking", "mlflow.store.tracking.sqlalchemy_store", "mlflow.data.numpy_dataset", "alembic.command"),
    *("pydantic", "ruamel.yaml", "filelock", "psutil", "multiprocessing.forkserver", "concurrent.futures.process"),
    *(
        "dvc.cli",
        "dvc.commands.repro",
        "dvc.commands.status",
        "dvc.commands.experiments.run",
        "dvc.repo.reproduce",
        "dvc.stage.run",
    ),
    *("dvc.repo.experiments.run", "dvc.repo.experiments.executor.local", "dvc.repo.experiments.queue.workspace", "dvc.data_cloud"),
)
READ_WHEN_LOADED = ("PYTHON", "LC_", "LANG", "LD_", "OMP_", "KMP_", "CUDA_", "TORCH", "MPL", "HOME", "XDG_")
FREE = ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE")  # a copy does as they say


class Server:
    """Makes a copy for each request, and tells who asked how it ended."""

    def __init__(self, listener: socket.socket) -> None:
        self.listener, self.before = listener, read_when_loaded(os.environ)
        self.asked: dict[int, socket.socket] = {}  # process -> who asked for it
        self.selector = selectors.DefaultSelector()

    def serve(self, run: int) -> dict | None:
        """Serve until the process `run` ends; in a copy, return what it is to do."""
        self.ended, writer = os.pipe()
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        over = os.pidfd_open(run)
        for file in (over, self.ended, self.listener):
            self.selector.register(file, selectors.EVENT_READ)
        while True:
            for key, _ in self.selector.select():
                if key.fileobj == over:
                    return None
                if key.fileobj is self.listener:
                    if (request := self.take()) is not None:
                        return request
                else:
                    self.hear(key.fileobj)

    def hear(self, file: int | socket.socket) -> None:
        """Tell of copies that have ended, and end the one whose client is gone."""
        if file == self.ended:
            os.read(file, 4096)
            self.reap()
        elif pids := [pid for pid, line in self.asked.items() if line is file]:
            self.selector.unregister(file)
            os.kill(pids[0], signal.SIGKILL)

    def take(self) -> dict | None:
        """Take a request: it is returned in a copy of this process, or sent back."""
        line, _ = self.listener.accept()
        request = received(line)
        possible = self.possible(request)
        pid = os.fork() if possible else 0
        if possible and not pid:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self.selector.close()
            for each in (self.listener, line, *self.asked.values()):
                each.detach()  # all files are closed by their numbers
            return request
        for file in request["received"]:
            os.close(file)
        with contextlib.suppress(OSError):
            line.sendall(pid.to_bytes(8, "big"))
        if pid:
            self.asked[pid] = line
            self.selector.register(line, selectors.EVENT_READ)
        return None

    def reap(self) -> None:
        """Tell how the copies have ended that have."""
        while self.asked:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            line = self.asked.pop(pid)
            with contextlib.suppress(KeyError):
                self.selector.unregister(line)
            with contextlib.suppress(OSError):
                line.sendall(status.to_bytes(8, "big"))
            line.close()

    def possible(self, request: dict) -> bool:
        """Whether a copy would do what Python does: none of what is loaded would be read from elsewhere, or be otherwise."""
        command = [word for word in request["command"] if word != "-B"]
        if not command or (command[0].startswith("-") and command[0] != "-c"):
            return False
        names = {"sitecustomize", "usercustomize"} | sys.modules.keys()
        for place in searched(command, request["environment"]):
            folder = Path(request["folder"], place)
            if folder.is_dir() and any(is_module(each) and each.stem in names for each in folder.iterdir()):
                return False
        return read_when_loaded(request["environment"]) == self.before


def is_module(path: Path) -> bool:
    return path.suffix == ".py" or (path / "__init__.py").exists()


def read_when_loaded(environment: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(READ_WHEN_LOADED) and name not in FREE}


def received(line: socket.socket) -> dict:
    """A request, its open files under the numbers that they have here in `received`; without a command if it was cut off."""
    size = array.array("i").itemsize
    head, found, _, _ = line.recvmsg(8, socket.CMSG_SPACE(250 * size))
    files = array.array("i")
    for level, kind, data in found:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            files.frombytes(data[: len(data) - len(data) % size])
    length, text = int.from_bytes(head, "big"), bytearray()
    while len(text) < length:
        if not (part := line.recv(length - len(text))):
            return {"command": [], "received": list(files)}
        text += part
    return json.loads(text or '{"command": []}') | {"received": list(files)}


def load() -> None:
    """Import the libraries, and see that this left a process that can be copied."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # a thread
    for name in LIBRARIES:
        importlib.import_module(name)
    assert threading.active_count() == 1, threading.enumerate()
    assert "reslab" not in sys.modules
    gc.collect()
    gc.freeze()


def main() -> None:
    """Load the libraries, and answer."""
    folder, server = Path(sys.argv[1]), Server(socket.socket(fileno=int(sys.argv[2])))
    sys.path.pop(0)  # the folder of this package
    load()
    if request := server.serve(int(sys.argv[3])):
        os._exit(status_of(become(request, str(folder / "python"))))  # taking everything down would take long
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(0)


if __name__ == "__main__":
    main()
