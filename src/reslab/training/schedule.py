"""Learning-rate schedules: pure functions step -> factor of the base rate, with a warm-up laid over their beginning."""

import bisect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from reslab.errors import UserError
from reslab.schema import Count, Fraction, NonNegative

Unit = Literal["epochs", "iterations"]


@dataclass(frozen=True)
class Budget:
    """The length of a run in optimizer steps."""

    steps: int
    steps_per_epoch: int

    def to_steps(self, count: int, unit: Unit) -> int:
        """A number of epochs or iterations as steps."""
        return count * self.steps_per_epoch if unit == "epochs" else count


def constant(budget: Budget) -> Callable[[int], float]:
    """Factor 1 throughout."""
    return lambda step: 1.0


def multistep(
    budget: Budget, *, milestones: list[Count], factor: NonNegative = 0.1, unit: Unit = "epochs"
) -> Callable[[int], float]:
    """Multiply by `factor` at each milestone; the step that begins the milestone's epoch already has the new rate."""
    if milestones != sorted(set(milestones)):
        raise UserError(f"milestones {milestones} are not allowed: they must increase")
    steps = [budget.to_steps(milestone, unit) for milestone in milestones]
    return lambda step: factor ** bisect.bisect_right(steps, step)


def cosine(budget: Budget, *, floor: Fraction = 0.0) -> Callable[[int], float]:
    """From 1 to `floor` along half a cosine over the whole budget (Loshchilov, Hutter, SGDR, arXiv:1608.03983, eq. 5)."""
    return lambda step: floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(step / budget.steps, 1)))


SCHEDULES = {
    "constant": constant,
    "cosine": cosine,
    "multistep": multistep,
}


@dataclass(frozen=True)
class FixedWarmup:
    """A warm-up of known length; `shape` gives the factor at each of its steps."""

    steps: int
    shape: Callable[[int], float]

    def factor(self, step: int) -> float | None:
        """The factor at a step, None once the warm-up is over."""
        return self.shape(step) if step < self.steps else None


class ObservedWarmup:
    """A constant factor until the training error over the last `every` iterations is below a threshold.

    Its sums cross epochs and are part of the checkpoint: an epoch shorter than `every` must not keep it from ending.
    """

    def __init__(self, constant: float, below: float, every: int) -> None:
        self.constant, self.below, self.every = constant, below, every
        self.over = False
        self.images, self.errors = 0, 0

    def factor(self, step: int) -> float | None:
        """The factor at a step, None once the warm-up is over."""
        return None if self.over else self.constant

    def observe(self, step: int, images: int, errors: Tensor) -> None:
        """Take in the batch of 0-based `step`; the device is waited for only each `every` steps."""
        if self.over:
            return
        self.images += images
        self.errors = self.errors + errors
        if (step + 1) % self.every == 0:
            self.over = int(self.errors) / self.images < self.below
            self.images, self.errors = 0, 0


Warmup = FixedWarmup | ObservedWarmup


def _length(budget: Budget, epochs: int | None, iterations: int | None) -> int:
    if (epochs is None) == (iterations is None):
        raise UserError("give exactly one of epochs, iterations")
    count, unit = (epochs, "epochs") if iterations is None else (iterations, "iterations")
    return budget.to_steps(count, unit)


def constant_warmup(budget: Budget, *, factor: NonNegative, epochs: Count | None = None, iterations: Count | None = None) -> Warmup:
    """A constant factor for so many epochs or iterations (He et al. 2016: 0.1 for 400 iterations)."""
    return FixedWarmup(_length(budget, epochs, iterations), lambda step: factor)


def linear_warmup(budget: Budget, *, start: Fraction = 0.0, epochs: Count | None = None, iterations: Count | None = None) -> Warmup:
    """From `start` to 1 in equal steps (Goyal et al. 2017, arXiv:1706.02677, section 2.2)."""
    steps = _length(budget, epochs, iterations)
    return FixedWarmup(steps, lambda step: start + (1 - start) * step / steps)


def until_train_error(budget: Budget, *, factor: NonNegative = 0.1, below: Fraction = 0.8, every: Count = 50) -> Warmup:
    """He et al. 2015, section 4.2: rate 0.01 until the training error is below 80 %, then 0.1.

    The error is taken over the last `every` iterations, so the rate can only change at a multiple of it.
    """
    return ObservedWarmup(factor, below, every)


WARMUPS = {
    "constant": constant_warmup,
    "linear": linear_warmup,
    "until_train_error": until_train_error,
}


class Schedule:
    """The factor of the base rate at each step: the warm-up's while it lasts, then the main schedule's.

    The warm-up is part of the budget: milestones count from the first step of training.
    """

    def __init__(self, main: Callable[[int], float], warmup: Warmup | None) -> None:
        self.main, self.warmup = main, warmup

    def __call__(self, step: int) -> float:
        factor = self.warmup.factor(step) if self.warmup else None
        return self.main(step) if factor is None else factor

    def observe(self, step: int, images: int, errors: Tensor) -> None:
        """Tell the warm-up how many of a batch's `images` were answered wrongly (`errors`, a scalar on the device)."""
        if isinstance(self.warmup, ObservedWarmup):
            self.warmup.observe(step, images, errors)

    def state(self) -> dict:
        """What a resumed run must know."""
        if not isinstance(self.warmup, ObservedWarmup):
            return {}
        return {"over": self.warmup.over, "images": self.warmup.images, "errors": int(self.warmup.errors)}

    def restore(self, state: dict) -> None:
        """Take over the `state` of an interrupted run."""
        for name, value in state.items():
            setattr(self.warmup, name, value)
