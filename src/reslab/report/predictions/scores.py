"""Scores of logits: errors, cross entropy, calibration, errors by class. Errors are fractions.

Logits (N, K) and labels int64 (N,). A row with a logit that is not finite is no answer: it counts as wrong in every error, and
cross entropy and calibration are NaN.
"""

import math
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

TOP = 5
BINS = 15  # as Guo et al. 2017


@dataclass(frozen=True)
class Scores:
    """A network's numbers on one set of images; `top5_error` is NaN where there are no more than five classes."""

    images: int
    error: float
    top5_error: float
    loss: float  # mean cross entropy
    ece: float  # expected calibration error

    def named(self, split: str) -> dict[str, float]:
        """The scores under their names in a run's record, such as test_error and test_ece; without top-5 error if it is NaN."""
        values = asdict(self)
        if math.isnan(self.top5_error):
            del values["top5_error"]
        return {f"{split}_{key}": value for key, value in values.items()}


def score(logits: np.ndarray, labels: np.ndarray) -> Scores:
    """Every number of one network on one set of images."""
    return Scores(
        images=len(labels),
        error=float(wrong(logits, labels).mean()),
        top5_error=float(wrong(logits, labels, top=TOP).mean()) if logits.shape[1] > TOP else math.nan,
        loss=cross_entropy(logits, labels),
        ece=calibration_error(reliability(logits, labels)) if answered(logits).all() else math.nan,
    )


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Softmax of logits, float64 (N, K)."""
    powers = np.exp(_below_largest(logits))
    return powers / powers.sum(1, keepdims=True)


def _below_largest(logits: np.ndarray) -> np.ndarray:
    """Logits less the largest of their row, float64 (N, K): no power of e overflows. (scipy.special takes long to load.)"""
    return logits.astype(np.float64) - logits.max(1, keepdims=True)


def answered(logits: np.ndarray) -> np.ndarray:
    """Which rows are answers, bool (N,)."""
    return np.isfinite(logits).all(1)


def answers(logits: np.ndarray) -> np.ndarray:
    """The class each image is taken for, int64 (N,); -1 is no answer."""
    return np.where(answered(logits), logits.argmax(1), -1)


def wrong(logits: np.ndarray, labels: np.ndarray, *, top: int = 1) -> np.ndarray:
    """Which images have their class not among the `top` largest logits, bool (N,); of equal logits the first is the larger."""
    own = np.take_along_axis(logits, labels[:, None], axis=1)
    with np.errstate(invalid="ignore"):
        before = (logits > own) | ((logits == own) & (np.arange(logits.shape[1]) < labels[:, None]))
    return (before.sum(1) >= top) | ~answered(logits)


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> float:
    """Mean negative log probability of the right class; NaN if some row is no answer."""
    if not answered(logits).all():
        return math.nan
    shifted = _below_largest(logits)
    log_probabilities = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    return float(-np.take_along_axis(log_probabilities, labels[:, None], axis=1).mean())


def reliability(logits: np.ndarray, labels: np.ndarray) -> pd.DataFrame:
    """Accuracy of answers by their confidence: one row a bin of confidence (low, high].

    Columns low, high, images, confidence (mean), accuracy; both means are NaN in an empty bin. The bins are 15 equal parts of
    [0, 1]. Rows that are no answer are left out. Source: Guo et al. 2017, arXiv:1706.04599, section 2.
    """
    kept = answered(logits)
    confidence = probabilities(logits[kept]).max(1)
    right = ~wrong(logits[kept], labels[kept])
    edges = np.arange(BINS + 1) / BINS
    bins = np.clip(np.searchsorted(edges, confidence) - 1, 0, BINS - 1)
    images = np.bincount(bins, minlength=BINS)
    with np.errstate(invalid="ignore"):
        means = [np.bincount(bins, weights=values, minlength=BINS) / images for values in (confidence, right.astype(float))]
    return pd.DataFrame({"low": edges[:-1], "high": edges[1:], "images": images, "confidence": means[0], "accuracy": means[1]})


def calibration_error(table: pd.DataFrame) -> float:
    """Expected calibration error: the mean gap between confidence and accuracy, weighted by images (Guo et al. 2017, eq. 3)."""
    gaps = (table["confidence"] - table["accuracy"]).abs() * table["images"]
    return float(gaps.sum() / table["images"].sum()) if table["images"].sum() else math.nan


def confusion(logits: np.ndarray, labels: np.ndarray, class_names: list[str]) -> pd.DataFrame:
    """Number of images by true class (rows, under their names) and predicted class (columns, by number; the last is no answer)."""
    counts = np.zeros((len(class_names), len(class_names) + 1), dtype=np.int64)
    np.add.at(counts, (labels, answers(logits)), 1)  # -1 is the last column
    return pd.DataFrame(counts, index=pd.Index(class_names, dtype=object))


def confused(counts: pd.DataFrame, *, mistakes: bool = False) -> pd.DataFrame:
    """A confusion matrix as one row a pair of classes that has images, or only the `mistakes` among them.

    Columns true, predicted (empty for no answer), images, share (of the images of the true class).
    """
    table = counts.to_numpy()
    rows, columns = np.nonzero(table)
    if mistakes:
        rows, columns = rows[rows != columns], columns[rows != columns]
    names, images = np.array([*counts.index, ""], dtype=object), table[rows, columns]
    return pd.DataFrame(
        {"true": names[rows], "predicted": names[columns], "images": images, "share": images / table.sum(axis=1)[rows]}
    )


def class_errors(counts: pd.DataFrame) -> pd.DataFrame:
    """From a confusion matrix: images, wrong and error of each class; the error of a class without images is NaN."""
    images = counts.sum(axis=1).to_numpy()
    missed = images - np.diag(counts.to_numpy())
    with np.errstate(invalid="ignore"):
        return pd.DataFrame({"class": counts.index, "images": images, "wrong": missed, "error": missed / images})
