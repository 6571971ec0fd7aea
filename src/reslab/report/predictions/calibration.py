"""The calibration error without what chance adds, and what chance alone would show."""

import math

import numpy as np
import pandas as pd
from scipy.special import erf

from reslab.report.predictions.scores import calibration_error


def debiased(table: pd.DataFrame) -> float:
    """The calibration error of a reliability table minus what the draw of the images adds on average, not below 0.

    In each bin accuracy is drawn around its own value (normal): the mean gap of such draws exceeds the observed gap by as much as
    the observed exceeds the true one. Source: Kumar, Liang and Ma 2019, arXiv:1909.10155, section 5; in
    closed form (folded normal).
    """
    filled = table[table["images"] > 0]
    drawn = _mean_gap(filled["confidence"] - filled["accuracy"], filled["accuracy"], filled["images"])
    return max(2 * calibration_error(table) - _weighted(drawn, filled["images"]), 0.0) if len(filled) else math.nan


def if_perfect(table: pd.DataFrame) -> float:
    """The mean calibration error that a network with these confidences would show if they were its chances of being right."""
    filled = table[table["images"] > 0]
    drawn = _mean_gap(0 * filled["confidence"], filled["confidence"], filled["images"])
    return _weighted(drawn, filled["images"]) if len(filled) else math.nan


def _mean_gap(gap: pd.Series, rate: pd.Series, images: pd.Series) -> np.ndarray:
    """The mean absolute value of a normal around `gap` with the variance of a rate over `images` images."""
    spread = np.sqrt(np.clip(rate * (1 - rate), 0, None) / images).to_numpy()
    mean = gap.abs().to_numpy()
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(spread > 0, mean / np.where(spread > 0, spread, 1), math.inf)
    return np.where(spread > 0, spread * math.sqrt(2 / math.pi) * np.exp(-(z**2) / 2) + mean * erf(z / math.sqrt(2)), mean)


def _weighted(gaps: np.ndarray, images: pd.Series) -> float:
    return float(np.sum(gaps * images.to_numpy()) / images.sum())
