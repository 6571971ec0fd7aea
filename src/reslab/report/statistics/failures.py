"""Seeds that failed: those that diverged, and those that finished no better than a guess."""

import math

import pandas as pd
from scipy import stats

from reslab.report.statistics.intervals import CONFIDENCE

UNTRAINED = "did not train"
FAILED = ("diverged", UNTRAINED)  # statuses that are in no mean

Counts = tuple[int, int]  # of an experiment's seeds: failed, trained


def with_untrained(runs: pd.DataFrame, commonest: float) -> pd.DataFrame:
    """The runs, in which the status of a network that is no better than a guess is "did not train".

    `commonest` is the share of the commonest class among the test images, for records that do not have it; where it is NaN, and
    where a record does not have its number of images, nothing is marked.
    """
    if "test_images" not in runs:
        return runs
    recorded = runs["test_commonest"].astype(float) if "test_commonest" in runs else pd.Series(math.nan, index=runs.index)
    least = guess(recorded.fillna(commonest), runs["test_images"].astype(float))
    guessed = (runs["status"] == "finished") & (runs["test_error"] >= least)
    return runs.assign(status=runs["status"].mask(guessed, UNTRAINED))


def guess(commonest: pd.Series, images: pd.Series) -> pd.Series:
    """The least error in the 95 % binomial interval of always answering the commonest class, given the number of test images."""
    least = stats.binom.ppf((1 - CONFIDENCE) / 2, images.fillna(0), 1 - commonest)
    return pd.Series(least, index=images.index) / images - 1e-9  # equal counts are equal errors but for rounding


def trained(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs that neither diverged nor stayed at a guess: those that are in means and comparisons of errors."""
    return runs[~runs["status"].isin(FAILED)]


def failures(runs: pd.DataFrame, name: str) -> Counts:
    """The numbers of an experiment's seeds that failed and that trained."""
    failed = runs.loc[runs["experiment"] == name, "status"].isin(FAILED)
    return int(failed.sum()), int((~failed).sum())
