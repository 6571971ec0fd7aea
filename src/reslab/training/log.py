"""What a run has done so far, in plain values: it travels through checkpoints into the record."""

import time
from dataclasses import asdict, dataclass, field

from reslab.training.evaluation import Score
from reslab.training.loop import Epoch, Position


@dataclass
class Log:
    """Progress, times and one row of history an epoch."""

    position: Position = field(default_factory=Position)
    images: int = 0
    seconds: float = 0.0  # training only
    started: float = field(default_factory=time.time)  # seconds since 1970
    resumed: int = 0
    diverged: bool = False
    history: list[dict[str, float]] = field(default_factory=list)

    def add(self, epoch: Epoch, scores: dict[str, Score]) -> None:
        """Take in an epoch and its scores by split."""
        row = {"epoch": epoch.epoch, "lr": epoch.lr, "train_loss": epoch.loss, "train_error": epoch.error}
        for split, score in scores.items():
            row |= {f"{split}_{name}": value for name, value in asdict(score).items()}
        self.history.append(row)
        self.images += epoch.images
        self.seconds += epoch.seconds
        self.diverged = epoch.diverged

    @classmethod
    def of(cls, state: dict) -> "Log":
        """What `asdict` made of a log."""
        return cls(**state | {"position": Position(**state["position"])})

    def summary(self) -> dict:
        """The last epoch's numbers (never the best's) and the times, for the record."""
        last = {name: value for name, value in self.history[-1].items() if name != "lr"}
        return last | {
            "steps": self.position.step,
            "seconds": round(self.seconds, 3),
            "images_per_second": round(self.images / self.seconds, 1),
            "started": round(self.started),
            "resumed": self.resumed,
        }
