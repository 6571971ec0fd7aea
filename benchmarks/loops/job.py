"""What a loop is told, and what it must be able to do."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from torch import nn


@dataclass(frozen=True)
class Job:
    """One experiment for a loop; it travels to the loop's own process."""

    sections: dict  # the experiment, merged, as a description carries it
    data: Path  # prepared arrays
    device: str
    workers: int  # what the machine can give; each loop takes its share
    seeds: tuple[int, ...] = (0,)  # more than one: packed, which only ours can
    level: str = ""  # of our engine


class LevelRefused(Exception):
    """The engine cannot execute this network at the level that the row is for."""


@dataclass(frozen=True)
class Work:
    """What was trained: `images`, and the seconds of wall clock in which the device waited for the epochs' first batches."""

    images: int
    waited: float = 0.0


class Loop(Protocol):
    """A training loop in its own process; neither method waits for the device more than the loop itself would."""

    def train(self, epochs: int) -> Work:
        """Go on for so many epochs."""

    def evaluate(self) -> float:
        """The test error as a fraction, the mean over seeds."""

    def trained_network(self) -> nn.Module:
        """The network that is trained, of the first seed."""
