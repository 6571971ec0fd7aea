"""The calibration error without its bias, and what perfect calibration would show."""

import math

import numpy as np
import pandas as pd
import pytest

from reslab.report.predictions.calibration import debiased, if_perfect
from reslab.report.predictions.scores import BINS, calibration_error


def table(generator, images: int, shift: float) -> pd.DataFrame:
    """The reliability of answers that are right as often as their confidence minus `shift`."""
    confidence = generator.uniform(0.4, 0.95, images)
    right = generator.random(images) < confidence - shift
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    counts = np.bincount(bins, minlength=BINS)
    with np.errstate(invalid="ignore"):
        means = [np.bincount(bins, values, BINS) / counts for values in (confidence, right.astype(float))]
    return pd.DataFrame({"images": counts, "confidence": means[0], "accuracy": means[1]})


def test_perfect_calibration_shows_what_is_said():
    generator = np.random.default_rng(0)
    drawn = [table(generator, 360, 0.0) for _ in range(400)]
    plain, said = np.mean([calibration_error(one) for one in drawn]), np.mean([if_perfect(one) for one in drawn])
    assert plain == pytest.approx(said, rel=0.05) and plain > 0.04
    assert (
        np.mean([debiased(one) for one in drawn]) < 0.65 * plain
    )  # an absolute value is above zero by chance whatever is taken off


@pytest.mark.parametrize("images", [360, 2000])
def test_debiased_it_is_nearer_to_the_true_error(images):
    generator = np.random.default_rng(1)
    drawn = [table(generator, images, 0.05) for _ in range(300)]
    plain, corrected = (np.mean([score(one) for one in drawn]) for score in (calibration_error, debiased))
    assert images > 1000 or abs(corrected - 0.05) < abs(plain - 0.05) / 2
    assert corrected == pytest.approx(0.05, abs=0.006)


def test_no_answers_have_none_and_sure_ones_no_bias():
    empty = pd.DataFrame({"images": [0], "confidence": [math.nan], "accuracy": [math.nan]})
    assert math.isnan(debiased(empty)) and math.isnan(if_perfect(empty))
    sure = pd.DataFrame({"images": [10, 0], "confidence": [1.0, math.nan], "accuracy": [1.0, math.nan]})
    assert debiased(sure) == if_perfect(sure) == 0.0
