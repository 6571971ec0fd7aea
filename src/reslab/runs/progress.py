"""The progress of an experiment's seeds: bars on a terminal, few lines elsewhere, both with the last epoch and the time left."""

import os
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from reslab.runs.processes import Listener
from reslab.runs.reports import Began, Report

SECONDS_BETWEEN_LINES = 60.0  # about several seeds; a single one has a line an epoch


@dataclass(frozen=True)
class Words:
    """How the numbers of an epoch are called."""

    epochs: str
    loss: str
    errors: dict[str, str]
    rate: str
    speed: str


LONG = Words(
    "epoch {} of {}", "training loss", {"validation_error": "validation error", "test_error": "test error"}, "rate", " images/s"
)
SHORT = Words("{}/{}", "loss", {"validation_error": "validation", "test_error": "test"}, "lr", " images/s")
SHORTEST = replace(SHORT, errors={"test_error": "test"}, speed="/s")


class Display(Listener, Protocol):
    """A context manager that shows the progress of each seed."""

    def __enter__(self) -> "Display": ...

    def __exit__(self, *error: object) -> None: ...


class Bars:
    """A bar for each seed with its last epoch's numbers, and one for all of them, on a terminal."""

    def __init__(self, title: str, seeds: list[int]) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(5), TextColumn("{task.percentage:3.0f}%"))
        told = (TimeRemainingColumn(), TextColumn("left"), TextColumn("{task.fields[text]}"))
        self.progress = Progress(*columns, *told, console=Console(stderr=True))
        self.wide = self.progress.console.width >= 100
        self.tasks = {seed: self.progress.add_task(f"seed {seed}", total=1.0, text="waiting", start=False) for seed in seeds}
        self.all = self.progress.add_task("all", total=len(seeds), text=title)
        self.done = dict.fromkeys(seeds, 0.0)

    def __enter__(self) -> "Bars":
        self.progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.progress.stop()

    def update(self, report: Report | Began) -> None:
        """Move the seed's bar and that of all seeds."""
        if isinstance(report, Began):
            return
        self.progress.start_task(self.tasks[report.seed])
        self.done[report.seed] = report.fraction
        self.progress.update(self.tasks[report.seed], completed=report.fraction, text=in_short(report, wide=self.wide))
        self.progress.update(self.all, completed=sum(self.done.values()))


class Lines:
    """Where there is no terminal: a line an epoch for a single seed; for several one about all, a minute, and one at each's end."""

    def __init__(self, title: str, seeds: list[int]) -> None:
        self.title, self.seeds = title, seeds
        self.latest: dict[int, Report] = {}
        self.began: tuple[float, float] | None = None  # time and fraction at the first report: a resumed run does not start at 0
        self.shown: float | None = None

    def __enter__(self) -> "Lines":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def update(self, report: Report | Began) -> None:
        """Print a line if one is due."""
        if isinstance(report, Began):
            return
        now = time.monotonic()
        self.latest[report.seed] = report
        fraction = sum(seed.fraction for seed in self.latest.values()) / len(self.seeds)
        self.began = self.began or (now, fraction)
        left = self._time_left(now, fraction)
        if report.doing in ("finished", "diverged"):
            self._print(f"seed {report.seed}: {report.doing}, {in_words([report])}{left if len(self.seeds) > 1 else ''}")
        elif len(self.seeds) == 1:
            if report.ended or self.shown is None:
                self._print(f"seed {report.seed}: {in_words([report])}{left}")
                self.shown = now
        elif self.shown is None or now - self.shown >= SECONDS_BETWEEN_LINES:
            self.shown = now
            self._print(f"{self._counts()}{in_words(self._under_way())}{left}")

    def _under_way(self) -> list[Report]:
        return [report for report in self.latest.values() if report.step < report.steps] or list(self.latest.values())

    def _counts(self) -> str:
        done = sum(report.step == report.steps for report in self.latest.values())
        return f"{len(self.seeds)} seeds, {done} done, {len(self.latest) - done} training: "

    def _time_left(self, now: float, fraction: float) -> str:
        """The part done and the time left of all seeds, as far as that can be told."""
        since, first = self.began
        left = f", {format_seconds((now - since) / (fraction - first) * (1 - fraction))} left" if fraction > first else ""
        return f"; {'all seeds ' if len(self.seeds) > 1 else ''}{fraction:.0%}{left}"

    def _print(self, text: str) -> None:
        print(f"{self.title} {text}", file=sys.stderr, flush=True)


def in_words(reports: list[Report]) -> str:
    """Epoch k of n, loss, error, rate and speed: one network's, or the mean of several, whose speeds add up."""
    return ", ".join(_numbers(reports, LONG))


def in_short(report: Report, *, wide: bool) -> str:
    """The same of one network, short enough for a terminal of 80 columns unless it is `wide`."""
    return " ".join(_numbers([report], SHORT if wide else SHORTEST))


def _numbers(reports: list[Report], words: Words) -> list[str]:
    """What is known of the networks' last epochs, each number with its name."""
    told = [words.epochs.format(_epochs(reports), reports[0].epochs)]
    rows = [report.row for report in reports if report.row]
    if not rows:
        return [*told, reports[0].doing, *_speed(reports, words.speed)]
    told.append(f"{words.loss} {_mean(rows, 'train_loss'):.3g}")
    told += [f"{words.errors[key]} {_mean(rows, key):.1%}" for key in words.errors if key in rows[0]]
    return [*told, f"{words.rate} {rows[-1]['lr']:.3g}", *_speed(reports, words.speed)]


def _epochs(reports: Iterable[Report]) -> str:
    """The epoch that has just ended or is under way; of several networks the first and the last."""
    epochs = [report.epoch if report.ended else min(report.epoch + 1, report.epochs) for report in reports]
    return str(epochs[0]) if min(epochs) == max(epochs) else f"{min(epochs)}-{max(epochs)}"


def _mean(rows: list, key: str) -> float:
    return sum(row[key] for row in rows) / len(rows)


def _speed(reports: list[Report], name: str) -> list[str]:
    speed = sum(report.images_per_second for report in reports)
    return [f"{speed:.3g}{name}" if speed < 100 else f"{speed:.0f}{name}"] if speed else []


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
