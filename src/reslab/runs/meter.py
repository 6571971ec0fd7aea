"""The progress of long work on files: a bar on a terminal, a line a minute elsewhere, nothing for work of seconds."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def meter(title: str, total: float, done: float = 0) -> Iterator[Callable[[float], None]]:
    """Show how much of `total` is done and the time left; call what it yields with each further amount."""
    if sys.stderr.isatty():
        from rich.console import Console  # a bare machine with a GPU may not have it
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(20), TextColumn("{task.percentage:3.0f}%"), TimeRemainingColumn())
        with Progress(*columns, TextColumn("left"), console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task(title, total=total, completed=done)
            yield lambda amount: progress.advance(task, amount)
    else:
        yield _Lines(title, total, done).advance


class _Lines:
    def __init__(self, title: str, total: float, done: float) -> None:
        self.title, self.total, self.done, self.first = title, total, done, done
        self.began = self.shown = time.monotonic()

    def advance(self, amount: float) -> None:
        from reslab.runs.progress import SECONDS_BETWEEN_LINES, format_seconds  # it loads rich

        self.done += amount
        now = time.monotonic()
        if now - self.shown < SECONDS_BETWEEN_LINES:
            return
        self.shown = now
        left = (now - self.began) / (self.done - self.first) * max(self.total - self.done, 0)
        print(f"{self.title}: {self.done / self.total:.0%}, {format_seconds(left)} left", file=sys.stderr, flush=True)
