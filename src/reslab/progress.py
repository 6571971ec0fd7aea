"""Progress of one experiment's seeds: bars on a terminal, a plain line now and then elsewhere, both with the time left."""

import sys
import time
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

SECONDS_BETWEEN_LINES = 5.0


class Display(Protocol):
    """A context manager that shows how far each seed is."""

    def __enter__(self) -> "Display": ...

    def __exit__(self, *error: object) -> None: ...

    def update(self, seed: int, done: int, total: int, text: str) -> None: ...


class Bars:
    """One bar a seed, on a terminal."""

    def __init__(self, title: str) -> None:
        columns = ("{task.description}", BarColumn(), TextColumn("{task.percentage:3.0f} %"), "{task.fields[text]}")
        self.progress = Progress(*columns, TimeElapsedColumn(), "left", TimeRemainingColumn(), console=Console(stderr=True))
        self.title = title
        self.tasks: dict[int, TaskID] = {}

    def __enter__(self) -> "Bars":
        self.progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.progress.stop()

    def update(self, seed: int, done: int, total: int, text: str) -> None:
        """Move a seed's bar."""
        if seed not in self.tasks:
            self.tasks[seed] = self.progress.add_task(f"{self.title} seed {seed}", total=total, text="")
        self.progress.update(self.tasks[seed], completed=done, text=text)


class Lines:
    """A line every few seconds and at each seed's end, where there is no terminal."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.started: dict[int, tuple[float, int]] = {}
        self.shown: dict[int, float] = {}

    def __enter__(self) -> "Lines":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def update(self, seed: int, done: int, total: int, text: str) -> None:
        """Print a seed's state if its last line is old enough or it is done."""
        now = time.monotonic()
        began, first = self.started.setdefault(seed, (now, done))
        if done < total and now - self.shown.get(seed, -SECONDS_BETWEEN_LINES) < SECONDS_BETWEEN_LINES:
            return
        self.shown[seed] = now
        left = (now - began) / (done - first) * (total - done) if done > first else None
        estimate = "" if left is None else f", {format_seconds(left)} left"
        print(f"{self.title} seed {seed}: {done / total:4.0%} {text}{estimate}", file=sys.stderr, flush=True)


def format_seconds(seconds: float) -> str:
    """1:02:03, 2:03 or 3 s."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02}:{rest:02}"
    return f"{minutes}:{rest:02}" if minutes else f"{rest} s"


def display(title: str) -> Display:
    """Bars on a terminal, lines elsewhere."""
    return Bars(title) if sys.stderr.isatty() else Lines(title)
