"""Whole curves of the schedules and warm-ups, against torch's own schedulers or the closed form, at every step and beyond."""

import math
from collections.abc import Callable

import pytest
import torch
from torch.optim import lr_scheduler

from reslab.errors import UserError
from reslab.experiment.bound import make_schedule
from reslab.training.schedule.budget import Budget

BUDGET = Budget(steps=100, steps_per_epoch=10)


def schedule(**spec):
    return make_schedule(spec, BUDGET)


def torch_curve(make: Callable, steps: int = 100) -> list[float]:
    """The rates that a torch scheduler gives an optimizer of rate 1."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = make(optimizer)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


TORCH = {
    "linear": (
        {"name": "linear", "floor": 0.1},
        lambda optimizer: lr_scheduler.LinearLR(optimizer, start_factor=1.0, end_factor=0.1, total_iters=100),
    ),
    "polynomial": (
        {"name": "polynomial", "power": 3.0},
        lambda optimizer: lr_scheduler.PolynomialLR(optimizer, total_iters=100, power=3.0),
    ),
    "cosine": (
        {"name": "cosine", "floor": 0.01},
        lambda optimizer: lr_scheduler.CosineAnnealingLR(optimizer, T_max=100, eta_min=0.01),
    ),
    "multistep": (
        {"name": "multistep", "milestones": [3, 7], "factor": 0.3},
        lambda optimizer: lr_scheduler.MultiStepLR(optimizer, [30, 70], gamma=0.3),
    ),
    "sgdr, growing": (
        {"name": "sgdr", "T_0": 1, "T_mult": 3, "floor": 0.05},
        lambda optimizer: lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=10, T_mult=3, eta_min=0.05),
    ),
    "sgdr, equal": (
        {"name": "sgdr", "T_0": 7, "unit": "iterations"},
        lambda optimizer: lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=7),
    ),
    "one cycle": (
        {"name": "one_cycle"},
        lambda optimizer: lr_scheduler.OneCycleLR(optimizer, max_lr=1.0, total_steps=101, cycle_momentum=False),
    ),
    "one cycle, other shape": (
        {"name": "one_cycle", "rise": 0.435, "start": 0.1, "end": 0.01},
        lambda optimizer: lr_scheduler.OneCycleLR(
            optimizer, max_lr=1.0, total_steps=101, pct_start=0.435, div_factor=10, final_div_factor=10, cycle_momentum=False
        ),
    ),
}


@pytest.mark.parametrize("name", TORCH)
def test_curve_is_torchs(name):
    spec, make = TORCH[name]
    budget = Budget(101, 10) if "cycle" in name else BUDGET
    curve = make_schedule(spec, budget)
    assert [curve(step) for step in range(100)] == pytest.approx(torch_curve(make), rel=1e-9, abs=1e-12)


def test_sgdr_restarts_exactly_at_its_cycles_and_may_end_inside_one():
    curve = schedule(name="sgdr", T_0=2, T_mult=2)  # cycles of 20, 40, 80: the last is cut at 100
    assert [curve(step) for step in (0, 20, 60)] == [1.0, 1.0, 1.0]
    assert curve(19) == pytest.approx(0.5 * (1 + math.cos(math.pi * 19 / 20)))
    assert curve(59) == pytest.approx(0.5 * (1 + math.cos(math.pi * 39 / 40)))
    assert curve(99) == pytest.approx(0.5 * (1 + math.cos(math.pi * 39 / 80)))


@pytest.mark.parametrize("rise", [0.0, 0.01, 1.0])
def test_one_cycle_at_the_ends_of_its_option(rise):
    curve = [schedule(name="one_cycle", rise=rise)(step) for step in range(100)]
    assert all(4e-6 - 1e-12 <= factor <= 1 for factor in curve)
    assert curve[0] == (pytest.approx(0.04) if rise == 1 else pytest.approx(1.0, abs=1e-3))
    assert curve[99] == (1.0 if rise == 1 else pytest.approx(4e-6))


def test_floors_hold_at_and_after_the_end():
    for name in ("linear", "cosine", "polynomial"):
        curve = schedule(name=name, floor=0.2)
        assert curve(0) == 1.0
        assert [curve(100), curve(130)] == pytest.approx([0.2, 0.2])


def test_exponential_warmup_is_a_power_of_the_share_and_not_of_the_rate():
    """The published code multiplies by the base rate twice: base 0.1 would end at 0.01 and jump."""
    curve = schedule(name="constant", warmup={"name": "exponential", "epochs": 2})
    for step in range(20):
        assert curve(step) == pytest.approx(1e-3 + (1 - 1e-3) * (step / 20) ** 4)
    assert curve(20) == 1.0
    other = schedule(name="constant", warmup={"name": "exponential", "iterations": 10, "start": 0.5, "exponent": 2})
    assert [other(0), other(5), other(10)] == [0.5, 0.625, 1.0]


@pytest.mark.parametrize("warmup", ["linear", "exponential", "constant"])
def test_main_schedule_may_count_from_the_end_of_the_warmup(warmup):
    options = {"factor": 0.1} if warmup == "constant" else {}
    spec = {"name": warmup, "epochs": 2, **options}
    over, after = (
        schedule(name="multistep", milestones=[3, 5], factor=0.5, warmup=spec | {"main_from": place}) for place in ("start", "end")
    )
    for step in range(100):
        if step < 20:
            assert over(step) == after(step) < 1
        else:
            assert over(step) == 0.5 ** ((step >= 30) + (step >= 50))
            assert after(step) == 0.5 ** ((step >= 50) + (step >= 70))


def test_what_follows_the_warmup_has_the_rest_of_the_budget():
    curve = schedule(name="cosine", warmup={"name": "linear", "epochs": 2, "main_from": "end"})
    for step in range(20, 101):
        assert curve(step) == pytest.approx(0.5 * (1 + math.cos(math.pi * (step - 20) / 80)), abs=1e-12)


def test_observed_warmup_resumes_with_the_errors_of_its_window():
    """8.5 of 10 wrong before the interruption and 7.4 after are 79.5 %; either half alone, or a rounded sum, decides otherwise."""
    spec = {"name": "constant", "warmup": {"name": "until_train_error", "factor": 0.1, "below": 0.796, "every": 4}}
    first, second = (make_schedule(spec, BUDGET) for _ in range(2))
    for step in (0, 1):
        first.observe(step, 10, torch.tensor(8.5, dtype=torch.float64))
    second.restore(first.state())
    for step in (2, 3):
        second.observe(step, 10, torch.tensor(7.4, dtype=torch.float64))
    assert second(4) == 1.0
    stays = make_schedule(spec, BUDGET)
    stays.restore(first.state())
    for step in (2, 3):
        stays.observe(step, 10, torch.tensor(7.5, dtype=torch.float64))
    assert stays(4) == 0.1


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"name": "constant", "warmup": {"name": "linear", "epochs": 10, "main_from": "end"}}, "leave nothing of the 100"),
        ({"name": "constant", "warmup": {"name": "linear", "epochs": 1, "main_from": "middle"}}, r"schedule\.warmup\.main_from"),
        ({"name": "sgdr"}, "missing key 'T_0'"),
        ({"name": "sgdr", "T_0": 0}, r"schedule\.T_0: 0"),
        ({"name": "polynomial", "power": 0}, r"schedule\.power: 0"),
        ({"name": "one_cycle", "rise": 1.5}, r"schedule\.rise: 1\.5"),
    ],
)
def test_impossible_schedules_are_refused(spec, message):
    with pytest.raises(UserError, match=message):
        make_schedule(spec, BUDGET)
