"""Several commands at once: all to their end, and none outlives who started them."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from orphans import assert_ends_with

from reslab.cli.project import at_once, parallel
from reslab.cli.train import describe
from reslab.errors import UserError

WRITE = """
import os, sys, time
open(sys.argv[1], "w").write(str(os.getpid()))
time.sleep(float(sys.argv[2]))
sys.exit(int(sys.argv[3]))
"""


def command(path: Path, seconds: float = 0, status: int = 0) -> list[str]:
    return [sys.executable, "-c", WRITE, str(path), str(seconds), str(status)]


def test_all_run_and_a_failure_is_raised_in_the_end(tmp_path):
    names = [tmp_path / name for name in "abcd"]
    at_once([command(path) for path in names], 3, dict(os.environ))
    assert all(path.exists() for path in names)
    for path in names:
        path.unlink()
    with pytest.raises(subprocess.CalledProcessError) as caught:
        at_once([command(path, status=3 if path.name == "a" else 0) for path in names], 1, dict(os.environ))
    assert caught.value.returncode == 3
    assert all(path.exists() for path in names)


WAYS = ("at_once([command], 2, dict(os.environ))", "children.run(command)", "children.start(command).wait()")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a process does not hear of the end of its parent")
@pytest.mark.parametrize("call", WAYS)
def test_none_outlives_a_killed_parent(tmp_path, call):
    code = f"import os; from reslab.cli.project import at_once, children; command = {command(tmp_path / 'pid', 600)!r}; {call}"
    assert_ends_with(subprocess.Popen([sys.executable, "-c", code]), tmp_path)


LIMITED = {"src/reslab/git.py", "src/reslab/grid/queue.py"}  # git, which reads for a moment; Slurm's commands, which are ended


def test_whatever_starts_a_program_starts_one_that_ends_with_it(repository):
    starts = re.compile(r"subprocess\.(run|Popen|call|check_\w+)\(|os\.(system|spawn\w+|popen)\(")
    files = {path.relative_to(repository).as_posix(): path.read_text() for path in repository.glob("s[rt]*/**/*.py")}
    assert "stages/train.py" in files
    assert {name for name, text in files.items() if starts.search(text)} == LIMITED | {"src/reslab/stop/children.py"}


def test_none_outlives_a_parent_that_is_told_to_stop(tmp_path):
    code = "import os; from reslab import errors; from reslab.cli.project import at_once\n"
    code += f"errors.guard(lambda: at_once([{command(tmp_path / 'pid', 600)!r}], 2, dict(os.environ)))"
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)  # until the command, which has the pipe too, has ended
    assert said.startswith("stopped by SIGTERM: ")


def link_to_itself(path: Path) -> None:
    path.symlink_to(path.name)


PUTS = {
    "pipe": os.mkfifo,
    "folder": Path.mkdir,
    "no text": lambda path: path.write_bytes(b"[core]\nx = \xe4\n"),
    "link to itself": link_to_itself,
    "terabyte": lambda path: (path.touch(), os.truncate(path, 2**40)),
}


@pytest.mark.parametrize("start", [parallel, describe])
@pytest.mark.parametrize("name", ["config", "config.local"])
@pytest.mark.parametrize("put", PUTS.values(), ids=PUTS.keys())
def test_a_configuration_that_dvc_cannot_read_is_named_before_dvc_waits_for_it(tmp_path, monkeypatch, start, name, put):
    (tmp_path / ".dvc").mkdir()
    put(tmp_path / ".dvc" / name)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=rf"^\.dvc/{name}: .*"):
        start()
    assert not (tmp_path / "checkpoints").exists()
