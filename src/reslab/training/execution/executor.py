"""Executing steps one after the other, and reading their sums from the device without blocking the host."""

from collections.abc import Callable

import torch

from reslab.training.evaluation import ScoringStep
from reslab.training.step import TrainingStep

Launch = Callable[[int], None]  # makes the step on the loaded batch, of so many images: the step itself, or its CUDA graph
TakeTurn = Callable[[], None]


def alone() -> None:
    """The turn of a network that has the device to itself: it goes on at once."""


class Executor:
    """Executes a training or scoring step at its level (execution/levels.py).

    `take_turn` is called after each launch and while the device still computes what is to be read. Networks that share a GPU let
    one another run there (runs/shared_gpu.py).
    """

    def __init__(self, step: TrainingStep | ScoringStep, launch: Launch | None = None, take_turn: TakeTurn = alone) -> None:
        self.step, self.launch, self.take_turn = step, launch or step, take_turn

    def __call__(self, size: int) -> None:
        """Load the next batch, of `size` images, and launch the step on it; the device may finish later."""
        self.step.batches.load(size)
        self.launch(size)
        self.take_turn()

    def read_sums(self) -> list[float]:
        """The step's sums as numbers, once the device has computed them."""
        sums = self.step.total()
        if sums.is_cuda:
            on_host = torch.empty(sums.shape, dtype=sums.dtype, pin_memory=True)
            on_host.copy_(sums, non_blocking=True)
            copied = torch.cuda.Event()
            copied.record()
            while not copied.query():
                self.take_turn()
            sums = on_host
        return sums.tolist()
