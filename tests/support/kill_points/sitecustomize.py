"""Names every change that a Python process makes to files, locks and SQLite stores; kills its group just before one of them.

Python imports this module at its start if the folder is on PYTHONPATH. It sees, through an audit hook, the processes from outside:
nothing in reslab or DVC knows of it. KILL_POINTS_ROOT is the project, KILL_POINTS_LOG the file that takes the names. KILL_POINTS_AT
is the name at whose first occurrence all processes of the group are killed, KILL_POINTS_DONE a file that is made when it happens.
"""

import contextlib
import os
import re
import signal
import sys

ROOT = os.path.realpath(os.environ.get("KILL_POINTS_ROOT", "/nonexistent"))
AT = os.environ.get("KILL_POINTS_AT")
CHANGES = {"os.rename": 1, "os.remove": 0, "os.mkdir": 0, "os.rmdir": 0, "os.link": 1, "os.symlink": 1, "os.truncate": 0}
CHANGES |= {"shutil.copyfile": 1, "shutil.rmtree": 0, "shutil.move": 1}  # event -> the argument that is the path changed
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
SKIPPED = ("__pycache__", ".git/")
VARYING = (
    (r"^\.dvc/cache/(\w+)/.*", r".dvc/cache/\1/*"),
    (r"^(data|metrics)/\.[\w-]{22}\.tmp$", r"\1/*.tmp"),
    (r"\.uploading\..*", ".uploading"),
    (r"[0-9a-f]{16,}|tmp[a-z0-9_]{8}", "*"),
    (r"\d+", "N"),
)
STATEMENTS = ("BEGIN", "COMMIT", "INSERT", "UPDATE", "DELETE", "CREATE", "ALTER", "DROP")
within: list[bool] = []  # whether this module itself is at work
connections: list = []


def changed_path(event, arguments):
    """What an audited event changes: a path, the head of an SQL statement, or None."""
    if event == "open":
        path, _, flags = arguments
        return path if isinstance(flags, int) and flags & WRITES else None
    if event in ("fcntl.flock", "fcntl.lockf"):
        descriptor = arguments[0]
        return os.readlink(f"/proc/self/fd/{descriptor}") if isinstance(descriptor, int) else None
    return arguments[CHANGES[event]] if event in CHANGES else None


def name_of(event, path):
    """The event and the path below the project, without what differs from run to run; None for a path elsewhere."""
    path = os.path.realpath(os.path.join(os.getcwd(), os.fsdecode(path)))
    if not path.startswith(ROOT + os.sep):
        return None
    path = path[len(ROOT) + 1 :]
    if any(part in path for part in SKIPPED):
        return None
    for pattern, text in VARYING:
        path = re.sub(pattern, text, path)
    return f"{event} {path}"


def reached(point):
    """Log the point, and end everything if it is the one."""
    descriptor = os.open(os.environ["KILL_POINTS_LOG"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.write(descriptor, f"{point}\n".encode())
    os.close(descriptor)
    if point == AT and not os.path.exists(os.environ["KILL_POINTS_DONE"]):
        os.close(os.open(os.environ["KILL_POINTS_DONE"], os.O_WRONLY | os.O_CREAT, 0o644))
        os.killpg(os.getpgid(0), signal.SIGKILL)


def statement(text):
    """A statement that changes a store: its first word, and whose store it is."""
    verb = text.split(" ", 1)[0].strip()
    if verb in STATEMENTS:
        store = "MLflow" if "mlflow" in sys.modules else "DVC"
        guarded(lambda: reached(f"{verb} in a store of {store}"))


def guarded(act):
    """Do something whose own events do not count."""
    if within:
        return
    within.append(True)
    try:
        act()
    finally:
        within.pop()


def follow(connection):
    """Take part in what a new connection does, if it belongs to this thread."""
    with contextlib.suppress(Exception):
        connection.set_trace_callback(statement)


def audit(event, arguments):
    if event == "sqlite3.connect/handle":
        connections.append(arguments[0])  # it is not open yet
    elif connections:
        follow(connections.pop())
    if event == "open" or event in CHANGES or event.startswith("fcntl."):
        guarded(lambda: seen(event, arguments))


def seen(event, arguments):
    path = changed_path(event, arguments)
    if isinstance(path, str | bytes | os.PathLike) and (point := name_of(event, path)):
        reached(point)


if "KILL_POINTS_ROOT" in os.environ:
    sys.addaudithook(audit)
