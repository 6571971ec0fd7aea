"""The progress of an experiment's seeds: bars on a terminal, a line every few seconds elsewhere, both with the time left."""

import os
import sys
import time
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

SECONDS_BETWEEN_LINES = 5.0


class Display(Protocol):
    """A context manager that shows the progress of each seed."""

    def __enter__(self) -> "Display": ...

    def __exit__(self, *error: object) -> None: ...

    def update(self, seed: int, done: int, total: int, text: str) -> None: ...


class Bars:
    """A bar for each seed and one for all of them, on a terminal."""

    def __init__(self, title: str, seeds: list[int]) -> None:
        columns = ("{task.description}", BarColumn(), TextColumn("{task.percentage:3.0f} %"), "{task.fields[text]}")
        self.progress = Progress(*columns, TimeElapsedColumn(), "left", TimeRemainingColumn(), console=Console(stderr=True))
        self.tasks = {
            seed: self.progress.add_task(f"{title} seed {seed}", total=1.0, text="waiting", start=False) for seed in seeds
        }
        self.all = self.progress.add_task(f"{title} all seeds", total=len(seeds), text="")
        self.done = dict.fromkeys(seeds, 0.0)

    def __enter__(self) -> "Bars":
        self.progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.progress.stop()

    def update(self, seed: int, done: int, total: int, text: str) -> None:
        """Move the seed's bar and that of all seeds."""
        self.progress.start_task(self.tasks[seed])
        self.done[seed] = done / total
        self.progress.update(self.tasks[seed], completed=done / total, text=text)
        self.progress.update(self.all, completed=sum(self.done.values()))


class Lines:
    """A line for each seed every few seconds and at its end, where there is no terminal."""

    def __init__(self, title: str, seeds: list[int]) -> None:
        self.title = title
        self.done = dict.fromkeys(seeds, 0.0)
        self.began: tuple[float, float] | None = None  # time and fraction at the first report: a resumed run does not start at 0
        self.shown: dict[int, float] = {}

    def __enter__(self) -> "Lines":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def update(self, seed: int, done: int, total: int, text: str) -> None:
        """Print the seed's progress and the time left for all seeds, if its last line is old enough or it is done."""
        now = time.monotonic()
        self.done[seed] = done / total
        fraction = sum(self.done.values()) / len(self.done)
        self.began = self.began or (now, fraction)
        if done < total and now - self.shown.get(seed, -SECONDS_BETWEEN_LINES) < SECONDS_BETWEEN_LINES:
            return
        self.shown[seed] = now
        since, first = self.began
        left = (now - since) / (fraction - first) * (1 - fraction) if fraction > first else None
        estimate = "" if left is None else f"; all seeds {fraction:.0%}, {format_seconds(left)} left"
        print(f"{self.title} seed {seed}: {done / total:4.0%} {text}{estimate}", file=sys.stderr, flush=True)


def format_seconds(seconds: float) -> str:
    """1:02:03, 2:03 or 3 s."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02}:{rest:02}"
    return f"{minutes}:{rest:02}" if minutes else f"{rest} s"


def display(title: str, seeds: list[int]) -> Display:
    """Bars on a terminal, lines elsewhere."""
    bars = sys.stderr.isatty() and os.environ.get("RESLAB_PROGRESS") != "lines"
    return Bars(title, seeds) if bars else Lines(title, seeds)
