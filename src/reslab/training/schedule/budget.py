"""The length of a run, in optimizer steps."""

from dataclasses import dataclass
from typing import Literal

from reslab.config.train import Train
from reslab.errors import UserError

Unit = Literal["epochs", "iterations"]


@dataclass(frozen=True)
class Budget:
    """The length of a run in optimizer steps."""

    steps: int
    steps_per_epoch: int

    @property
    def epochs(self) -> int:
        """The number of epochs, the last of which may be cut short."""
        return -(-self.steps // self.steps_per_epoch)

    def to_steps(self, count: int, unit: Unit) -> int:
        """A number of epochs or iterations as steps."""
        return count * self.steps_per_epoch if unit == "epochs" else count


def budget(train: Train, images: int) -> Budget:
    """The length of a run on `images` training images; raises UserError if not one batch is whole."""
    if train.steps_per_epoch(images) == 0:
        raise UserError(f"train.batch_size: {train.batch_size} with drop_last leaves no batch; at most {images} images")
    return Budget(train.steps(images), train.steps_per_epoch(images))
