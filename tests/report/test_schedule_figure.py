"""The curve of a learning rate: each step's own, held until the next one."""

import pytest

from reslab.report.figures.schedule import MOST_POINTS, points


def test_every_step_of_a_short_run_is_shown():
    epochs, rates = points(lambda step: step**2, 30, 10)
    assert epochs == pytest.approx([step / 10 for step in range(31)])
    assert rates == [step**2 for step in range(30)] + [29**2]


def test_a_long_run_is_shown_from_its_first_to_its_last_step():
    epochs, rates = points(lambda step: step, 700_000, 10)
    assert (epochs[0], epochs[-1], rates[0], rates[-2]) == (0, 70_000, 0, 699_999)
    assert len(epochs) == len(rates) == MOST_POINTS + 1
