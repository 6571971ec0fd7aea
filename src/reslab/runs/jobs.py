"""The job of a training process."""

from dataclasses import dataclass
from pathlib import Path

from reslab.errors import UserError


@dataclass(frozen=True)
class Job:
    """One network to train; raises UserError if so many processes cannot train it, before any of them is started."""

    experiment: str
    description: dict
    identity: str
    seed: int
    data: Path
    code: dict  # commit and dirty flag, read when the stage started
    at_once: int  # the largest number of networks that share the machine or the GPU
    processes: int = 1  # that train it together

    def __post_init__(self) -> None:
        if self.processes == 1:
            return
        config = self.description.get("config", {})
        size = config.get("train", {}).get("batch_size", self.processes)
        if self.processes > size:
            raise UserError(f"{self.experiment}: {self.processes} processes are too many for batches of {size} images; give fewer")
        if config.get("loss", {}).get("class_weights") is not None:
            told = "loss.class_weights weighs the mean over a whole batch; train this experiment by one process"
            raise UserError(f"{self.experiment}: {told}")
