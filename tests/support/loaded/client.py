"""Run a command of Python in a copy of the process that has loaded the libraries; by Python itself where that cannot be done.

`loaded.tools` puts this file in place of `python`, `dvc` and `reslab`, with the first line of a script. It loads next to nothing.
"""

import array
import json
import os
import signal
import socket
import sys

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)  # passed on


def inherited() -> list[int]:
    """The open files that a command which is started has."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            if os.get_inheritable(int(name)):
                found.append(int(name))
        except OSError:  # the listing's own
            continue
    return found


def ask(command: list[str]) -> tuple[socket.socket, int] | None:
    """Have the command run; returns where its status will come from and the process's id, or None if it is not done."""
    line = socket.socket(socket.AF_UNIX)
    try:
        files = inherited()
        request = {"command": command, "folder": os.getcwd(), "environment": dict(os.environ), "files": files}
        text = json.dumps(request).encode()
        line.connect(os.path.join(os.path.dirname(os.path.abspath(sys.argv[0])), "socket"))
        line.sendmsg([len(text).to_bytes(8, "big")], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", files))])
        line.sendall(text)
        number = int.from_bytes(line.recv(8), "big")
    except OSError:
        return None
    return (line, number) if number else None


def follow(line: socket.socket, number: int) -> None:
    """Pass signals on, and end as the other process ends."""

    def pass_on(signum: int, _: object) -> None:
        try:
            os.kill(number, signum)
        except ProcessLookupError:  # it has just ended
            pass

    for each in SIGNALS:
        signal.signal(each, pass_on)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    answer = line.recv(8)
    status = os.waitstatus_to_exitcode(int.from_bytes(answer, "big")) if answer else 1
    if status < 0:
        if -status in SIGNALS:
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    os._exit(status)


def main() -> None:
    """Run what the name of this file stands for."""
    name, arguments = os.path.basename(sys.argv[0]), sys.argv[1:]
    program = os.path.join(os.path.dirname(sys.executable), name)
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    if done := ask(arguments if name == "python" else [program, *arguments]):
        follow(*done)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    os.execv(program, [program, *arguments])


main()
