"""The job of a training process."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Job:
    """One network to train."""

    experiment: str
    description: dict
    identity: str
    seed: int
    data: Path
    code: dict  # commit and dirty flag, read when the stage started
    at_once: int  # the largest number of networks that share the machine or the GPU
    processes: int = 1  # that train it together
