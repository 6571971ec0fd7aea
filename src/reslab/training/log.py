"""The progress of a run in plain values: stored in its checkpoints, and in its record at the end."""

import math
import time
from dataclasses import asdict, dataclass, field

from reslab.training.evaluation import Score


@dataclass(frozen=True)
class Epoch:
    """One epoch of training: mean loss, error as a fraction, and the learning rate of its last step."""

    epoch: int  # 1 for the first
    step: int  # optimizer steps done so far
    lr: float
    loss: float
    error: float
    images: int
    seconds: float  # without evaluation

    @property
    def diverged(self) -> bool:
        """Whether some loss of the epoch was infinite or not a number."""
        return not math.isfinite(self.loss)


@dataclass
class Position:
    """The position of a run, also within an epoch: where a resumed run continues."""

    epoch: int = 0  # the number of epochs done
    step: int = 0  # the number of steps done
    epoch_steps: int = 0  # steps, images and seconds of the epoch under way
    images: int = 0
    seconds: float = 0.0
    factor: float = 1.0  # of the base rate, at the last step

    def add_step(self, images: int, *, seconds: float) -> None:
        """Count a step on a batch of `images`, which ended `seconds` after its epoch began."""
        self.step, self.epoch_steps, self.images, self.seconds = self.step + 1, self.epoch_steps + 1, self.images + images, seconds

    def end_epoch(self) -> None:
        """Count the epoch under way as done."""
        self.epoch, self.epoch_steps, self.images, self.seconds = self.epoch + 1, 0, 0, 0.0


@dataclass
class Log:
    """Position and times of a run, and one row of history for each epoch."""

    position: Position = field(default_factory=Position)
    images: int = 0
    seconds: float = 0.0  # training only
    started: float = field(default_factory=time.time)  # seconds since 1970
    resumed: int = 0
    diverged: bool = False
    processes: list[list[int]] = field(default_factory=list)  # an epoch, and the number of processes that train from there on
    history: list[dict[str, float]] = field(default_factory=list)

    def add(self, epoch: Epoch, scores: dict[str, Score]) -> None:
        """Add an epoch with its scores by split."""
        row = {"epoch": epoch.epoch, "lr": epoch.lr, "train_loss": epoch.loss, "train_error": epoch.error}
        for split, score in scores.items():
            row |= {f"{split}_{name}": value for name, value in asdict(score).items()}
        self.history.append(row)
        self.images += epoch.images
        self.seconds += epoch.seconds
        self.diverged = epoch.diverged

    def note_processes(self, count: int) -> None:
        """Note how many processes train the network from here on."""
        if not self.processes or self.processes[-1][1] != count:
            self.processes.append([self.position.epoch + 1, count])

    @classmethod
    def of(cls, state: dict) -> "Log":
        """The log that `asdict` has turned into `state`."""
        return cls(**state | {"position": Position(**state["position"])})

    def summary(self) -> dict:
        """The last epoch's numbers (never the best's) and the times, for the record; before the first epoch the times alone."""
        last = {name: value for row in self.history[-1:] for name, value in row.items() if name != "lr"}
        return (
            last
            | {
                "steps": self.position.step,
                "seconds": round(self.seconds, 3),
                "images_per_second": round(self.images / self.seconds, 1) if self.seconds else 0.0,
                "started": round(self.started),
                "resumed": self.resumed,
            }
            | self._several()
        )

    def _several(self) -> dict:
        """How many processes trained which epochs, if there ever were several."""
        if all(count == 1 for _, count in self.processes):
            return {}
        return {"processes": [{"from_epoch": epoch, "processes": count} for epoch, count in self.processes]}
