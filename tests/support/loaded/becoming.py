"""What a copy does to be the Python that was asked for: its files, folder, environment and arguments, and its end."""

import atexit
import builtins
import fcntl
import importlib
import io
import multiprocessing.process
import multiprocessing.spawn
import os
import random
import sys
import threading
import types
from pathlib import Path

ABOVE = 1000  # where received files are kept until each gets the number that it had


def searched(command: list[str], environment: dict[str, str]) -> list[str]:
    """Where Python looks for modules first: beside the script or in the working folder, then where PYTHONPATH says."""
    first = "" if command[0] == "-c" else str(Path(command[0]).parent)
    return [first, *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]


def become(request: dict, python: str) -> list[str]:
    """Make this copy what Python would be at the start of a command; returns the command. `python` starts further ones."""
    take_files(dict(zip(request["files"], request["received"], strict=True)))
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    random.seed()
    command = [word for word in request["command"] if word != "-B"]
    sys.dont_write_bytecode = bool(os.environ.get("PYTHONDONTWRITEBYTECODE")) or len(command) < len(request["command"])
    sys.argv = ["-c", *command[2:]] if command[0] == "-c" else command
    first, *others = searched(command, request["environment"])
    sys.path[:0] = [first, *(str(Path(place).absolute()) for place in others)]
    sys.executable = python
    multiprocessing.spawn.set_executable(python)
    multiprocessing.process.ORIGINAL_DIR = request["folder"]
    importlib.invalidate_caches()
    return command


def take_files(numbers: dict[int, int]) -> None:
    """Give received files the numbers that they had, close all others, and make the standard streams anew."""
    kept = {number: fcntl.fcntl(file, fcntl.F_DUPFD, ABOVE) for number, file in numbers.items()}
    os.closerange(0, ABOVE)
    for number, file in kept.items():
        os.dup2(file, number)
        os.close(file)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        stream = standard_stream(number) if number in numbers else None
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def standard_stream(number: int) -> io.TextIOWrapper:
    """A standard stream as Python makes it."""
    raw = io.FileIO(number, "w" if number else "r", closefd=False)
    buffer = io.BufferedWriter(raw) if number else io.BufferedReader(raw)
    errors = "backslashreplace" if number == 2 else "strict"
    stream = io.TextIOWrapper(buffer, None, errors, line_buffering=number == 2 or raw.isatty() or "PYTHONUNBUFFERED" in os.environ)
    stream.mode = raw.mode[0]
    return stream


def status_of(command: list[str]) -> int:
    """Run a command to its end, and that of its threads; returns its exit status, as Python would."""
    status = 0
    try:
        execute(command)
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        if ended.code is not None and not isinstance(ended.code, int):
            print(ended.code, file=sys.stderr)
    except BaseException as error:  # noqa: BLE001 - whatever a command ends with
        status = 1
        own = error.with_traceback(error.__traceback__.tb_next.tb_next)  # without the lines of this file
        sys.excepthook(type(own), own, own.__traceback__)
    threading._shutdown()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and not stream.closed:
            stream.flush()
    return status & 0xFF


def execute(command: list[str]) -> None:
    """Run a script, or the text after -c, as __main__."""
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    main.__builtins__ = builtins
    if command[0] == "-c":
        text, name = command[1], "<string>"
    else:
        main.__file__ = name = command[0]
        text = Path(name).read_bytes()
    exec(compile(text, name, "exec"), main.__dict__)
