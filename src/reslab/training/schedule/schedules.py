"""Learning-rate schedules: pure functions step -> factor of the base rate, with a warm-up laid over their beginning."""

import bisect
import math
from collections.abc import Callable
from typing import Annotated

from pydantic import Field
from torch import Tensor

from reslab.config.schema import Count, Fraction, Positive
from reslab.errors import UserError
from reslab.training.schedule.budget import Budget, Unit
from reslab.training.schedule.warmup import ObservedWarmup, Warmup


def constant(budget: Budget) -> Callable[[int], float]:
    """Factor 1 throughout."""
    return lambda step: 1.0


def multistep(
    budget: Budget, *, milestones: list[Count], factor: Annotated[float, Field(ge=0, le=1000)] = 0.1, unit: Unit = "epochs"
) -> Callable[[int], float]:
    """Multiply by `factor` at each milestone; the step that begins the milestone's epoch already has the new rate."""
    if milestones != sorted(set(milestones)):
        raise UserError(f"milestones {milestones} are not allowed: they must increase")
    steps = [budget.to_steps(milestone, unit) for milestone in milestones]
    return lambda step: factor ** bisect.bisect_right(steps, step)


def linear(budget: Budget, *, floor: Fraction = 0.0) -> Callable[[int], float]:
    """From 1 to `floor` in equal steps over the whole budget."""
    return lambda step: 1 - (1 - floor) * min(step / budget.steps, 1)


def polynomial(budget: Budget, *, power: Positive = 2.0, floor: Fraction = 0.0) -> Callable[[int], float]:
    """From 1 to `floor` as (1 - step / steps)^power over the whole budget (LARS, arXiv:1708.03888, section 5: power 2)."""
    return lambda step: floor + (1 - floor) * (1 - min(step / budget.steps, 1)) ** power


def cosine(budget: Budget, *, floor: Fraction = 0.0) -> Callable[[int], float]:
    """From 1 to `floor` along half a cosine over the whole budget (Loshchilov, Hutter, SGDR, arXiv:1608.03983, eq. 5)."""
    return lambda step: floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(step / budget.steps, 1)))


def sgdr(budget: Budget, *, T_0: Count, T_mult: Count = 1, unit: Unit = "epochs", floor: Fraction = 0.0) -> Callable[[int], float]:
    """Half cosines from 1 to `floor`, the first T_0 long and each T_mult times the one before (SGDR, arXiv:1608.03983, section 3).

    The budget may end inside a cycle.
    """
    first = budget.to_steps(T_0, unit)

    def factor(step: int) -> float:
        length = first
        if T_mult == 1:
            step %= first
        while step >= length:
            step, length = step - length, length * T_mult
        return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * step / length))

    return factor


def one_cycle(budget: Budget, *, rise: Fraction = 0.3, start: Positive = 0.04, end: Positive = 4e-6) -> Callable[[int], float]:
    """From `start` to 1 over the share `rise` of the budget, then down to `end` at its last step (Smith, Topin, arXiv:1708.07120).

    The defaults are those of torch's OneCycleLR.
    """
    # Deviation: both ways along half a cosine, as in torch, not along a line; and momentum is constant.
    last = budget.steps - 1
    top = rise * budget.steps - 1

    def factor(step: int) -> float:
        if step <= top:
            return _half_cosine(start, 1.0, step / top if top else 1.0)
        return _half_cosine(1.0, end, min((step - top) / (last - top), 1) if last > top else 1.0)

    return factor


def _half_cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * share))


SCHEDULES = {
    "constant": constant,
    "cosine": cosine,
    "linear": linear,
    "multistep": multistep,
    "one_cycle": one_cycle,
    "polynomial": polynomial,
    "sgdr": sgdr,
}


class Schedule:
    """The factor of the base rate at each step: the warm-up's while it lasts, then the main schedule's.

    The warm-up is part of the budget: milestones count from the first step of training, or from the end of the warm-up with
    `main_from: end`.
    """

    def __init__(self, main: Callable[[int], float], warmup: Warmup | None) -> None:
        self.main, self.warmup = main, warmup

    def __call__(self, step: int) -> float:
        if self.warmup is None:
            return self.main(step)
        factor = self.warmup.factor(step)
        return self.main(step - self.warmup.offset) if factor is None else factor

    def observe(self, step: int, images: int, errors: Tensor) -> None:
        """Give the warm-up the number of a batch's `images` and of `errors` among them (a scalar on the device)."""
        if isinstance(self.warmup, ObservedWarmup):
            self.warmup.observe(step, images, errors)

    def state(self) -> dict:
        """The part of the schedule that a checkpoint stores."""
        if not isinstance(self.warmup, ObservedWarmup):
            return {}
        return {"over": self.warmup.over, "images": self.warmup.images, "errors": float(self.warmup.errors)}

    def restore(self, state: dict) -> None:
        """Take over the `state` of an interrupted run."""
        for name, value in state.items():
            setattr(self.warmup, name, value)
