"""What a network tells while it trains: to the display, and to MLflow."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Began:
    """A network starts to train, or goes on: what its record says so far, and the epochs that it has done before."""

    experiment: str
    record: dict[str, Any]
    history: list[dict[str, float]]


@dataclass(frozen=True)
class EpochEnded:
    """An epoch that has just ended: its row of the history, and its times in seconds; `at` counts from 1970."""

    row: Mapping[str, float]
    images_per_second: float
    seconds: float
    at: float


@dataclass(frozen=True)
class Report:
    """How far a network is: steps and epochs done and in all, what it does, and its last epoch's numbers."""

    seed: int
    step: int
    steps: int
    epoch: int
    epochs: int
    doing: str  # preparing, training, finished, diverged
    row: Mapping[str, float]  # of the history; empty before the first epoch has ended
    images_per_second: float  # 0 if not known yet
    ended: EpochEnded | None = None  # the epoch, if this report is about its end
    network: str = ""  # its folder

    @property
    def fraction(self) -> float:
        """The part of its steps that is done."""
        return self.step / self.steps
