"""Processes that are told to stop: by a signal or by the end of DVC, whatever they do, with one line and nothing left running."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from orphans import assert_ends_with, is_running

from reslab import stop

SUPPORT = [str(Path(__file__).parent), str(Path(__file__).parent / "support")]
STAGE = """
import os, sys, time
from pathlib import Path
sys.path[:0] = {support!r}
from test_stop import Job, Recorder, obey, sleep, stay
from reslab import errors, stop
from reslab.runs import processes
def command():
    Path("pid").write_text(str(os.getpid()))
    {body}
if __name__ == "__main__":
    errors.run(command)
"""
BODIES = {
    "asleep": "time.sleep(600)",
    "waiting for a lock": "import fcntl; file = open('pid'); fcntl.flock(file, fcntl.LOCK_EX); again = open('pid'); "
    "fcntl.flock(again, fcntl.LOCK_EX)",
    "training": "with stop.cooperating(): list(processes.run_all(obey, [Job(k) for k in range(3)], workers=2, display=Recorder()))",
    "at work in processes": "list(processes.run_all(sleep, [Job(0), Job(1)], workers=2, display=Recorder()))",
}


@dataclass(frozen=True)
class Job:
    seed: int


class Recorder:
    def update(self, *message):
        pass


def obey(job: Job) -> None:
    """A training that saves when it is told to stop."""
    with stop.cooperating():
        Path(f"worker{job.seed}").write_text(str(os.getpid()))
        while not stop.requested():
            time.sleep(0.01)
        Path(f"saved{job.seed}").touch()
        stop.check()


def sleep(job: Job) -> None:
    Path(f"worker{job.seed}").write_text(str(os.getpid()))
    time.sleep(600)


def stay(job: Job) -> None:
    """A training that never comes to where its state is whole."""
    with stop.cooperating():
        sleep(job)


def heed_signals() -> None:
    """What the tests were told to ignore (by `nohup`, in the background of a script) is heard by the stage."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def started(folder: Path, body: str, *names: str, shell: str | None = None) -> subprocess.Popen:
    """A stage in a process group of its own, once it has written the files."""
    (folder / "stage.py").write_text(STAGE.format(support=SUPPORT, body=body))
    command = [sys.executable, "stage.py"] if shell is None else [*shell.split(), f"{sys.executable} stage.py; true"]
    heard = {"preexec_fn": heed_signals, "start_new_session": True}
    process = subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True, **heard)
    while not all((folder / name).exists() and (folder / name).read_text() for name in ("pid", *names)):
        time.sleep(0.05)
        assert process.poll() is None
    return process


def left(folder: Path) -> list[int]:
    """The processes of the stage that are still there a moment later."""
    pids = [int(path.read_text()) for path in [folder / "pid", *folder.glob("worker*")]]
    for _ in range(100):
        if not (pids := [pid for pid in pids if is_running(pid)]):
            break
        time.sleep(0.1)
    return pids


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1], ids=lambda number: number.name)
@pytest.mark.parametrize("body", BODIES)
def test_one_line_and_nothing_left(tmp_path, body, number):
    names = ["worker0", "worker1"] if "processes" in BODIES[body] else []
    process = started(tmp_path, BODIES[body], *names)
    os.killpg(process.pid, number)
    _, said = process.communicate(timeout=60)
    assert said == f"stopped by {number.name}: {stop.GO_ON}\n"
    assert process.returncode == 128 + number
    assert left(tmp_path) == []
    assert {path.name for path in tmp_path.glob("saved*")} == ({"saved0", "saved1"} if body == "training" else set())


def test_a_signal_while_processes_start_is_one_line(tmp_path):
    """They end by it at once, which breaks the pool; further jobs wait."""
    body = "with stop.cooperating(): list(processes.run_all(obey, [Job(k) for k in range(9)], workers=2, display=Recorder()))"
    process = started(tmp_path, body)
    while sum("spawn_main" in " ".join(child.cmdline()) for child in psutil.Process(process.pid).children()) < 2:
        time.sleep(0.01)
    time.sleep(0.2)  # for the jobs to be handed out
    process.terminate()
    _, said = process.communicate(timeout=60)
    assert (said, process.returncode) == (f"stopped by SIGTERM: {stop.GO_ON}\n", 128 + signal.SIGTERM)
    assert left(tmp_path) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1], ids=lambda number: number.name)
@pytest.mark.parametrize("who", ["pid", "worker1"], ids=["the stage", "a worker"])
def test_a_signal_to_one_process_stops_all(tmp_path, who, number):
    process = started(tmp_path, BODIES["training"], "worker0", "worker1")
    os.kill(int((tmp_path / who).read_text()), number)
    _, said = process.communicate(timeout=60)
    assert said == f"stopped by {number.name}: {stop.GO_ON}\n"
    assert left(tmp_path) == []
    assert {path.name for path in tmp_path.glob("saved*")} == {"saved0", "saved1"}
    assert not (tmp_path / "worker2").exists()  # nothing more is started


@pytest.mark.parametrize("job", ["obey", "stay"], ids=["in time", "not in time"])
def test_a_closed_terminal_stops_all_although_nobody_reads_what_is_said(tmp_path, job):
    process = started(tmp_path, BODIES["training"].replace("obey", job), "worker0", "worker1")
    process.stderr.close()
    os.killpg(process.pid, signal.SIGHUP)
    assert process.wait(timeout=60) == 128 + signal.SIGHUP
    assert left(tmp_path) == []
    assert len(list(tmp_path.glob("saved*"))) == (2 if job == "obey" else 0)


def test_who_does_not_stop_in_time_is_ended(tmp_path):
    process = started(tmp_path, BODIES["training"].replace("obey", "stay"), "worker0", "worker1")
    process.terminate()
    _, said = process.communicate(timeout=60)
    assert said == f"stopped by SIGTERM: {stop.GO_ON}\n"
    assert left(tmp_path) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_a_stage_stops_when_the_shell_between_dvc_and_it_ends(tmp_path, monkeypatch, number):
    monkeypatch.setenv("DVC_STAGE", "train@tau")
    process = started(tmp_path, BODIES["training"], "worker0", "worker1", shell="/bin/sh -c")
    os.kill(process.pid, number)
    _, said = process.communicate(timeout=60)  # until the stage, which has the pipe, has ended
    assert said == f"stopped by the end of DVC: {stop.GO_ON}\n"
    assert left(tmp_path) == []
    assert {path.name for path in tmp_path.glob("saved*")} == {"saved0", "saved1"}


STARTER = """
import os, subprocess, sys
subprocess.run(sys.argv[1:], env=os.environ | {"DVC_STAGE": "train@tau"})
"""


@pytest.mark.parametrize(
    "command", ["{python} stage.py", "{python} stage.py; true"], ids=["becomes the stage", "waits for the stage"]
)
def test_a_stage_ends_when_dvc_is_killed(tmp_path, command):
    (tmp_path / "stage.py").write_text(STAGE.format(support=SUPPORT, body=BODIES["asleep"]))
    shell = ["/bin/sh", "-c", command.format(python=sys.executable)]  # as DVC does, with $SHELL
    assert_ends_with(subprocess.Popen([sys.executable, "-c", STARTER, *shell], cwd=tmp_path), tmp_path)


LOADING = """
from reslab import errors
import os, time, psutil
from pathlib import Path
before = psutil.Process().parents()
Path("pid").write_text(str(os.getpid()))
while psutil.Process().parents() == before:
    time.sleep(0.05)
errors.run(lambda: time.sleep(600))
"""


@pytest.mark.parametrize("command", ["exec {python} stage.py", "{python} stage.py; true"], ids=["of DVC", "of the shell"])
def test_a_stage_ends_when_dvc_is_killed_while_libraries_are_loaded(tmp_path, command):
    (tmp_path / "stage.py").write_text(LOADING)
    shell = ["/bin/sh", "-c", command.format(python=sys.executable)]
    assert_ends_with(subprocess.Popen([sys.executable, "-c", STARTER, *shell], cwd=tmp_path), tmp_path)


def test_ctrl_c_while_libraries_are_loaded_is_one_line():
    code = "from reslab import errors; import os, signal; os.kill(os.getpid(), signal.SIGINT); import time; time.sleep(60)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, preexec_fn=heed_signals, check=False)
    assert (done.returncode, done.stderr) == (-signal.SIGINT, f"stopped by SIGINT: {stop.GO_ON}\n")


LOST = """
import os, signal, time
from reslab import errors

class Last:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.1)

def stage():
    Last()
    time.sleep(600)

errors.run(stage)
"""


def test_a_stop_that_python_cannot_raise_where_it_comes_is_made_again():
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", LOST], capture_output=True, text=True, preexec_fn=heed_signals, check=False)
    assert (done.returncode, done.stderr) == (128 + signal.SIGTERM, f"stopped by SIGTERM: {stop.GO_ON}\n")
    assert time.monotonic() - began < stop.SECONDS


def test_a_command_leaves_the_handlers_of_its_process_alone():
    before = [signal.getsignal(number) for number in stop.SIGNALS]
    with stop.listening(), stop.cooperating():
        os.kill(os.getpid(), signal.SIGTERM)
        while not stop.requested():
            time.sleep(0.01)
        with pytest.raises(stop.Stopped, match="stopped by SIGTERM"):
            stop.check()
    assert [signal.getsignal(number) for number in stop.SIGNALS] == before
    assert not stop.requested()
