"""Schedules against their closed forms at and around every boundary; warm-ups, also the one that watches the error."""

import math
import re

import pytest
import torch

from reslab.errors import UserError
from reslab.experiment.bound import make_schedule, unreached_milestones
from reslab.training.schedule.schedules import Budget

BUDGET = Budget(steps=100, steps_per_epoch=10)


def schedule(**spec):
    return make_schedule(spec, BUDGET)


def test_multistep_in_epochs_and_iterations():
    by_epoch = schedule(name="multistep", milestones=[3, 7], factor=0.1)
    by_step = schedule(name="multistep", milestones=[30, 70], factor=0.1, unit="iterations")
    for step in range(100):
        expected = 0.1 ** ((step >= 30) + (step >= 70))
        assert by_epoch(step) == by_step(step) == pytest.approx(expected)


def test_cosine():
    plain, floored = schedule(name="cosine"), schedule(name="cosine", floor=0.2)
    for step in range(101):
        half = 0.5 * (1 + math.cos(math.pi * step / 100))
        assert plain(step) == pytest.approx(half, abs=1e-12)
        assert floored(step) == pytest.approx(0.2 + 0.8 * half)
    assert plain(0) == 1


def test_fixed_warmups_end_where_they_say():
    linear = schedule(name="constant", warmup={"name": "linear", "epochs": 2, "start": 0.1})
    constant = schedule(name="constant", warmup={"name": "constant", "iterations": 5, "factor": 0.1})
    for step in range(100):
        assert linear(step) == pytest.approx(0.1 + 0.9 * min(step, 20) / 20)
        assert constant(step) == (0.1 if step < 5 else 1.0)


def test_warmup_is_inside_the_budget():
    both = schedule(name="multistep", milestones=[1], warmup={"name": "constant", "epochs": 2, "factor": 0.5})
    assert [both(9), both(10), both(19), both(20)] == [0.5, 0.5, 0.5, pytest.approx(0.1)]


def test_a_warmup_leaves_the_main_schedule_at_least_one_step():
    longest = schedule(name="constant", warmup={"name": "constant", "iterations": 99, "factor": 0.1})
    assert [longest(98), longest(99)] == [0.1, 1.0]


@pytest.mark.parametrize(
    ("spec", "late"),
    [
        ({"name": "multistep", "milestones": [3, 9]}, []),
        ({"name": "multistep", "milestones": [3, 10, 12]}, [10, 12]),
        ({"name": "multistep", "milestones": [99, 100], "unit": "iterations"}, [100]),
        ({"name": "multistep", "milestones": [7, 8], "warmup": {"name": "linear", "epochs": 2}}, []),
        ({"name": "multistep", "milestones": [7, 8], "warmup": {"name": "linear", "epochs": 2, "main_from": "end"}}, [8]),
        ({"name": "cosine"}, []),
    ],
)
def test_milestones_that_the_run_never_reaches_are_known(spec, late):
    assert unreached_milestones(spec, BUDGET) == late
    factors = {schedule(**spec)(step) for step in range(100)}
    if spec["name"] == "multistep" and "warmup" not in spec:
        assert len(factors) == 1 + len(spec["milestones"]) - len(late)


def rates(watched, first: int, errors: list[int]) -> list[float]:
    """Tell the schedule of batches of 10 images; return the factor of each step."""
    factors = []
    for step, wrong in enumerate(errors, first):
        factors.append(watched(step))
        watched.observe(step, 10, torch.tensor(wrong))
    return factors


HE = {"name": "constant", "warmup": {"name": "until_train_error", "factor": 0.1, "below": 0.8, "every": 4}}


def test_he_warmup_ends_when_the_error_of_the_last_steps_is_below():
    # Steps 0-3: 90 %; 4-7: 82.5 %; 8-11: 77.5 %, so the rate is free from step 12 on, also if the error grows again.
    errors = [9, 9, 9, 9, 9, 8, 8, 8, 8, 8, 8, 7, 9, 9, 9, 9, 9]
    assert rates(schedule(**HE), 0, errors) == [0.1] * 12 + [1.0] * 5


def test_he_warmup_goes_on_while_the_error_is_high():
    assert rates(schedule(**HE), 0, [8] * 40) == [0.1] * 40  # exactly 80 % is not below


def test_he_warmup_survives_a_resume_inside_its_window():
    errors = [9, 9, 9, 9, 9, 9, 6, 6, 6, 6]
    whole = rates(schedule(**HE), 0, errors)
    first, second = schedule(**HE), schedule(**HE)
    begin = rates(first, 0, errors[:6])
    second.restore(first.state())
    assert begin + rates(second, 6, errors[6:]) == whole
    assert whole[-2:] == [1.0, 1.0]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"name": "multistep", "milestones": [5, 3]}, "milestones"),
        ({"name": "multistep", "milestones": [0]}, "schedule.milestones[0]"),
        ({"name": "multistep", "milestones": [5], "factor": -1.0}, "schedule.factor"),
        ({"name": "multistep", "milestones": [5], "factor": math.nan}, "schedule.factor"),
        ({"name": "cosine", "floor": -5.0}, "schedule.floor"),
        ({"name": "constant", "warmup": 0}, "schedule.warmup"),
        ({"name": "constant", "warmup": []}, "schedule.warmup"),
        ({"name": "multistep", "milestones": [5], "unit": "days"}, "schedule.unit"),
        ({"name": "constant", "warmup": {"name": "linear"}}, "schedule.warmup: give exactly one"),
        ({"name": "constant", "warmup": {"name": "linear", "epochs": 1, "iterations": 1}}, "exactly one"),
        ({"name": "constant", "warmup": {"name": "linear", "epochs": 0}}, "schedule.warmup.epochs"),
        ({"name": "constant", "warmup": {"name": "lineal", "epochs": 1}}, "schedule.warmup.name: unknown name 'lineal'"),
        ({"name": "constant", "warmup": {"name": "until_train_error", "below": 1.5}}, "schedule.warmup.below"),
        (
            {"name": "cosine", "warmup": {"name": "linear", "epochs": 10}},
            "schedule.warmup: 10 epochs are 100 steps, which leave nothing",
        ),
        (
            {"name": "cosine", "warmup": {"name": "constant", "factor": 0.1, "iterations": 400}},
            "400 iterations are 400 steps, which",
        ),
        ({"name": "cosine", "warmup": {"name": "exponential", "iterations": 101}}, "nothing of the 100 for the main schedule"),
        ({"name": "cosin"}, "did you mean 'cosine'"),
    ],
)
def test_impossible_schedules_are_refused(spec, message):
    with pytest.raises(UserError, match=re.escape(message)):
        schedule(**spec)
