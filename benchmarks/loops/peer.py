"""(d) A peer's own training script: run as it is, in its own folder, timed by what it prints. Its code is never ours."""

import re
import resource
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from contest.entrant import Segment
from reslab.errors import UserError


@dataclass(frozen=True)
class Script:
    """What to run and how to read it.

    Each match of `epoch` in a line of its output is the end of one epoch. The first group, if there is one, is the epoch's seconds;
    else the time between two matches is. The first epoch is its warm-up. `images` are those of one epoch.
    """

    path: Path
    arguments: str
    epoch: str
    images: int

    def check(self) -> None:
        """Raises UserError for a script that is not there, or a pattern that is none."""
        if not self.path.is_file():
            raise UserError(f"--peer {self.path}: no such file")
        try:
            re.compile(self.epoch)
        except re.error as error:
            raise UserError(f"--peer-epoch {self.epoch!r}: not a regular expression ({error})") from None


@dataclass(frozen=True)
class Peer:
    """A script as an entrant: each segment is one whole run of it; how many epochs it trains is in its arguments."""

    script: Script
    name: str = "peer"

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
        command = [sys.executable, "-u", self.script.path.name, *shlex.split(self.script.arguments)]
        lengths, last, line = [], None, ""
        with subprocess.Popen(
            command, cwd=self.script.path.parent, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        ) as process:
            for line in process.stdout:
                for match in re.finditer(self.script.epoch, line):
                    now = time.perf_counter()
                    lengths.append(float(match[1]) if match.re.groups else now - last if last else 0.0)
                    last = now
        where = f"--peer {self.script.path}"
        if process.returncode:
            raise UserError(f"{where}: ended with status {process.returncode}; its last line: {line.strip()}")
        if len(lengths) < 2:
            raise UserError(
                f"{where}: {self.script.epoch!r} was found {len(lengths)} time(s), two epochs are needed: {line.strip()}"
            )
        return lengths[1:], len(lengths)

    def close(self) -> None:
        """Nothing is left running."""
