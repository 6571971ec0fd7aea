"""Streams that are full, closed or unread: results that are lost are an error, messages that are lost are none."""

import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

COMMAND = """
import sys
from pathlib import Path
from reslab.errors import UserError, run

def main(wrong: bool = False, result: bool = False):
    for k in range(30_000):
        print("message", k, file=sys.stdout if result else sys.stderr)
    Path("made").write_text("whole")
    print("result")
    if wrong:
        raise UserError("x: is wrong")

if __name__ == "__main__":
    run(main)
"""
DISK = "error: /dev/stdout: no space left on the disk, "


def start(folder: Path, line: str, **streams: int) -> subprocess.Popen:
    (folder / "command.py").write_text(COMMAND)
    return subprocess.Popen(["/bin/sh", "-c", line.format(f"{sys.executable} command.py")], cwd=folder, **streams)


def run(folder: Path, line: str) -> tuple[int, list[str]]:
    command = start(folder, line, stdout=subprocess.PIPE)
    said = command.communicate(timeout=60)[0].decode().splitlines()
    return command.returncode, said


@pytest.mark.parametrize("line", ["{} 2> /dev/full", "{} 2>&-", "{} 2>&- <&-", "{} 2>&1 >result | head -1; cat result"])
def test_lost_messages_end_nothing(tmp_path, line):
    status, said = run(tmp_path, line)
    assert (status, said[-1]) == (0, "result")
    assert (tmp_path / "made").read_text() == "whole"  # no message: the file did not get the number of a closed stream


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("{} 2>&1 >/dev/full", [DISK]),
        ("{} --wrong 2>&1 >/dev/full", ["error: x: is wrong"]),
        ("exec 3>&1; ({} 2>/dev/null; echo status $? >&3) | true", ["status 1"]),
    ],
)
def test_lost_results_are_one_error(tmp_path, line, expected):
    said = [text for text in run(tmp_path, line)[1] if not text.startswith("message ")]
    assert [text[: len(start)] for text, start in zip(said, expected, strict=True)] == expected


@pytest.mark.parametrize("option", ["", "--result"])
def test_a_pipe_that_nobody_reads_does_not_keep_a_command_that_is_told_to_stop(tmp_path, option):
    _, writer = os.pipe()
    command = start(tmp_path, "exec {} " + option, stdout=writer, stderr=writer)
    while select.select([], [writer], [], 0)[1]:  # until the pipe is full
        assert command.poll() is None
        time.sleep(0.05)
    os.close(writer)
    command.send_signal(signal.SIGTERM)
    assert command.wait(timeout=12) == 128 + signal.SIGTERM
    assert not (tmp_path / "made").exists()
