"""Warm-ups by name, `f(budget, **options)`: what the rate does before the main schedule takes over."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from reslab.config.schema import Count, Fraction, NonNegative, Positive
from reslab.errors import UserError
from reslab.training.schedule.budget import Budget

MainFrom = Literal["start", "end"]


@dataclass(frozen=True)
class FixedWarmup:
    """A warm-up of known length; `shape` gives the factor at each of its steps.

    `main_from`: whether the main schedule counts its steps from the start or from the end of the warm-up.
    """

    steps: int
    shape: Callable[[int], float]
    main_from: MainFrom = "start"

    @property
    def offset(self) -> int:
        """The step of training that is the main schedule's step 0."""
        return self.steps if self.main_from == "end" else 0

    def factor(self, step: int) -> float | None:
        """The factor at a step, None once the warm-up is over."""
        return self.shape(step) if step < self.steps else None


class ObservedWarmup:
    """A constant factor until the training error over the last `every` iterations is below a threshold.

    Its sums cross epochs and are part of the checkpoint: an epoch shorter than `every` must not keep it from ending.
    """

    offset = 0

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
            self.over = float(self.errors) / self.images < self.below
            self.images, self.errors = 0, 0


Warmup = FixedWarmup | ObservedWarmup


def _length(budget: Budget, epochs: int | None, iterations: int | None) -> int:
    """A warm-up's length in steps; raises UserError if it is as long as the whole run."""
    if (epochs is None) == (iterations is None):
        raise UserError("give exactly one of epochs, iterations")
    count, unit = (epochs, "epochs") if iterations is None else (iterations, "iterations")
    steps = budget.to_steps(count, unit)
    if steps >= budget.steps:
        raise UserError(f"{count} {unit} are {steps} steps, which leave nothing of the {budget.steps} for the main schedule")
    return steps


def constant_warmup(
    budget: Budget,
    *,
    factor: NonNegative,
    epochs: Count | None = None,
    iterations: Count | None = None,
    main_from: MainFrom = "start",
) -> Warmup:
    """A constant factor for a number of epochs or iterations (He et al. 2016: 0.1 for 400 iterations)."""
    return FixedWarmup(_length(budget, epochs, iterations), lambda step: factor, main_from)


def linear_warmup(
    budget: Budget,
    *,
    start: Fraction = 0.0,
    epochs: Count | None = None,
    iterations: Count | None = None,
    main_from: MainFrom = "start",
) -> Warmup:
    """From `start` to 1 in equal steps (Goyal et al. 2017, arXiv:1706.02677, section 2.2)."""
    steps = _length(budget, epochs, iterations)
    return FixedWarmup(steps, lambda step: start + (1 - start) * step / steps, main_from)


def exponential_warmup(
    budget: Budget,
    *,
    start: Fraction = 1e-3,
    exponent: Positive = 4.0,
    epochs: Count | None = None,
    iterations: Count | None = None,
    main_from: MainFrom = "start",
) -> Warmup:
    """From `start` to 1 along start + (1 - start) (step / steps)^exponent, the "exponential" of pytorch_image_classification.

    Its code multiplies this by the base rate twice, which no published number was made with.
    """
    steps = _length(budget, epochs, iterations)
    return FixedWarmup(steps, lambda step: start + (1 - start) * (step / steps) ** exponent, main_from)


def until_train_error(budget: Budget, *, factor: NonNegative = 0.1, below: Fraction = 0.8, every: Count = 50) -> Warmup:
    """He et al. 2015, section 4.2: rate 0.01 until the training error is below 80 %, then 0.1.

    The error is taken over the last `every` iterations, so the rate can only change at a multiple of it.
    """
    return ObservedWarmup(factor, below, every)


WARMUPS = {
    "constant": constant_warmup,
    "exponential": exponential_warmup,
    "linear": linear_warmup,
    "until_train_error": until_train_error,
}
