"""The length of a run, in optimizer steps."""

from dataclasses import dataclass
from typing import Literal

Unit = Literal["epochs", "iterations"]


@dataclass(frozen=True)
class Budget:
    """The length of a run in optimizer steps."""

    steps: int
    steps_per_epoch: int

    def to_steps(self, count: int, unit: Unit) -> int:
        """A number of epochs or iterations as steps."""
        return count * self.steps_per_epoch if unit == "epochs" else count
