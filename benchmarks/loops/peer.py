"""(d) A peer's own training script: run as it is, in its own folder, timed by what it prints. Its code is never ours."""

import re
import resource
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from contest.entrant import Segment
from contest.processes import TooLong
from reslab.errors import UserError


@dataclass(frozen=True)
class Script:
    """What to run and how to read it.

    Each match of `epoch` in a line of its output is the end of one epoch. The first group, if there is one, is the epoch's seconds;
    else the time since the match before, or since a later one of `begin`. The first epoch is its warm-up. `images` are those of one
    epoch. `{folder}` in its arguments is a new folder for each run. It is ended after so many `epochs`, 0 for none.
    """

    path: Path
    arguments: str
    epoch: str
    images: int
    begin: str = ""
    epochs: int = 0
    python: str = sys.executable

    def check(self) -> None:
        """Raises UserError for a script that is not there, or a pattern that is none."""
        if not self.path.is_file():
            raise UserError(f"--peer {self.path}: no such file")
        for option, pattern in (("--peer-epoch", self.epoch), ("--peer-begin", self.begin)):
            try:
                re.compile(pattern)
            except re.error as error:
                raise UserError(f"{option} {pattern!r}: not a regular expression ({error})") from None
        if shutil.which(self.python) is None:
            raise UserError(f"--peer-python {self.python}: no such program")


@dataclass(frozen=True)
class Peer:
    """A script as an entrant: each segment is one whole run of it; how many epochs it trains is in its arguments."""

    script: Script
    name: str = "peer"
    until: float = float("inf")  # it is ended then, by time.monotonic()

    def start(self) -> dict:
        """Nothing: each run has a first epoch of its own, which is not counted."""
        return {"build_seconds": None, "first_epoch_seconds": None}

    def segment(self, epochs: int) -> Segment:
        """Run it once. CPU seconds are the whole run's, start and evaluation included, shared out by its epochs."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        lengths, count = self._run()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        images = len(lengths) * self.script.images
        nothing = {"waited": 0.0, "evaluation_seconds": 0.0, "evaluation_cpu_seconds": 0.0, "error": float("nan")}
        return Segment(
            epochs=len(lengths),
            images=images,
            seconds=sum(lengths),
            cpu_seconds=cpu * len(lengths) / count,
            peak_bytes=0,
            **nothing,
        )

    def _run(self) -> tuple[list[float], int]:
        """The seconds of each epoch but the first, and how many epochs there were; raises UserError if it fails or says nothing."""
        script, lengths, line = self.script, [], ""
        last = began = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            arguments = shlex.split(script.arguments.replace("{folder}", folder))
            with (
                subprocess.Popen(
                    [script.python, "-u", script.path.name, *arguments],
                    cwd=script.path.parent,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,  # a progress bar's carriage returns end lines, too
                    errors="replace",
                ) as process,
                self._ended_in_time(process),
            ):
                for line in process.stdout:
                    now = time.perf_counter()
                    for match in re.finditer(script.epoch, line):
                        lengths.append(float(match[1]) if match.re.groups else now - max(last, began))
                        last = now
                    if script.begin and re.search(script.begin, line):
                        began = now
                    if script.epochs and len(lengths) >= script.epochs:
                        process.kill()
                        break
        enough = script.epochs and len(lengths) >= script.epochs
        where = f"--peer {self.script.path}"
        if time.monotonic() >= self.until:
            raise TooLong("the time of this part was over")
        if process.returncode and not enough:
            raise UserError(f"{where}: ended with status {process.returncode}; its last line: {line.strip()}")
        if len(lengths) < 2:
            raise UserError(
                f"{where}: {self.script.epoch!r} was found {len(lengths)} time(s), two epochs are needed: {line.strip()}"
            )
        return lengths[1:], len(lengths)

    @contextmanager
    def _ended_in_time(self, process: subprocess.Popen) -> Iterator[None]:
        left = min(max(self.until - time.monotonic(), 0), threading.TIMEOUT_MAX)
        timer = threading.Timer(left, process.kill)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def close(self) -> None:
        """Nothing is left running."""
