"""The pool: progress arrives, failures come through, killed workers are said, orphans end."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from orphans import assert_ends_with

from reslab.errors import UserError
from reslab.runs import processes
from reslab.runs.reports import Began


@dataclass(frozen=True)
class Job:
    seed: int
    folder: Path = Path()


class Recorder:
    def __init__(self):
        self.seen = []

    def update(self, report):
        self.seen.append(report)


def work(job: Job) -> None:
    reporter = processes.Reporter(job.seed, 2, epochs=2)
    reporter.begin("plain", {"seed": job.seed}, [])
    reporter.report_epoch({"epoch": 1, "train_loss": 0.5}, step=1, images=30, seconds=2.0)
    reporter.report(2, "finished")


def refuse(job: Job) -> None:
    if job.seed == 1:
        raise UserError("seed 1 is refused")


def die(job: Job) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_every_job_runs_and_reports():
    shown = Recorder()
    done = list(processes.run_all(work, [Job(seed) for seed in range(3)], workers=2, display=shown))
    assert {job.seed for job in done} == {0, 1, 2}
    for seed in range(3):
        began, epoch, finished = of_seed(shown.seen, seed)
        assert (began.experiment, began.record, began.history) == ("plain", {"seed": seed}, [])
        assert (epoch.ended.row["train_loss"], epoch.ended.seconds, epoch.images_per_second) == (0.5, 2.0, 15.0)
        assert (finished.doing, finished.step, finished.epoch, finished.row["train_loss"]) == ("finished", 2, 1, 0.5)


def of_seed(reports: list, seed: int) -> list:
    return [report for report in reports if (report.record["seed"] if isinstance(report, Began) else report.seed) == seed]


def test_a_resumed_network_tells_its_last_epoch_at_once(monkeypatch):
    shown, clock = Recorder(), iter([10.0, 12.0, 20.0])
    monkeypatch.setattr(processes.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(processes._Channel, "send", shown.update)
    history = [{"epoch": 1, "train_loss": 0.5, "test_error": 0.25}]
    processes.Reporter(0, 40, epochs=4, images_per_step=8, history=history).heartbeat(12)
    assert (shown.seen[0].epoch, shown.seen[0].row["test_error"]) == (1, 0.25)
    fresh = processes.Reporter(0, 40, epochs=4, images_per_step=8)
    for step in (1, 9):  # of the first epoch, which may last for hours
        fresh.heartbeat(step)
    assert shown.seen[-1].images_per_second == 8.0


class Broken:
    """A display whose pipe was closed."""

    def update(self, report):
        raise BrokenPipeError


def chatter(job: Job) -> None:
    reporter = processes.Reporter(job.seed, 5000)
    for step in range(5000):  # more than a pipe holds
        reporter.report(step, "training" * 10)


def test_a_display_that_fails_stops_nobody():
    heard = Recorder()
    assert len(list(processes.run_all(chatter, [Job(0)], workers=1, display=processes.Listeners(Broken(), heard)))) == 1
    assert len(heard.seen) == 5000


def test_a_failure_comes_through_after_the_others_finished():
    done = []
    with pytest.raises(UserError, match="seed 1 is refused"):
        for job in processes.run_all(refuse, [Job(seed) for seed in range(3)], workers=1, display=Recorder()):
            done.append(job.seed)
    assert done == [0, 2]


class OfTwoParts(Exception):
    """An error of a library that cannot be made anew in another process."""

    def __init__(self, one: str, other: str) -> None:
        super().__init__(f"{one} {other}")


def fail(job: Job) -> None:
    raise OfTwoParts("disk", "gone")


def test_an_error_that_cannot_be_sent_is_said_and_not_that_its_process_was_killed():
    with pytest.raises(RuntimeError, match=r"^OfTwoParts: disk gone$"):
        list(processes.run_all(fail, [Job(0)], workers=1, display=Recorder()))


def test_a_killed_worker_is_said_in_plain_words():
    with pytest.raises(UserError, match="a training process was killed"):
        list(processes.run_all(die, [Job(0)], workers=1, display=Recorder()))


PARENT = """
import sys, time
from pathlib import Path
sys.path[:0] = {tests!r}
from test_processes import Job, Recorder, endless, note, slowly
from reslab.runs import processes
from reslab.data.prepared import inspection
if __name__ == "__main__":
    job = Job(0, Path({folder!r}))
    {command}
"""
COMMANDS = {
    "at work": "list(processes.run_all(endless, [job], workers=1, display=Recorder()))",
    "idle": "done = processes.run_all(note, [job], workers=1, display=Recorder()); next(done); time.sleep(600)",
    "idle, decoding": "inspection._inspect = note; list(inspection._run(slowly(job), 2))",
}


def endless(job: Job) -> None:
    (job.folder / "pid").write_text(str(os.getpid()))
    reporter = processes.Reporter(job.seed, 100)
    while True:
        time.sleep(0.05)
        reporter.heartbeat(0)


def note(job: Job) -> None:
    (job.folder / "pid").write_text(str(os.getpid()))


def slowly(job: Job) -> Iterator[Job]:
    yield job
    time.sleep(600)


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_worker_ends_when_its_parent_is_killed(tmp_path, command):
    script = tmp_path / "parent.py"
    script.write_text(
        PARENT.format(
            tests=[str(Path(__file__).parent), str(Path(__file__).parents[1] / "support")], folder=str(tmp_path), command=command
        )
    )
    assert_ends_with(subprocess.Popen([sys.executable, script]), tmp_path)
