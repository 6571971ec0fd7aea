"""Scores of logits against scikit-learn and torch, and by hand; what is not finite is wrong, never left out in silence."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn import metrics

from reslab.report import predictions
from reslab.report.predictions.file import Predictions
from reslab.report.predictions.scores import (
    answers,
    calibration_error,
    class_errors,
    confusion,
    probabilities,
    reliability,
    score,
    wrong,
)

NAMES = [f"class {i}" for i in range(7)]


@pytest.fixture
def data():
    """Logits of 400 images in 7 classes, right more often than not."""
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 7, 400)
    logits = generator.normal(size=(400, 7)).astype(np.float32)
    logits[np.arange(400), labels] += 1.5
    return logits, labels


def test_scores_agree_with_scikit_learn(data):
    logits, labels = data
    found, predicted = score(logits, labels), logits.argmax(1)
    assert found.images == 400
    assert found.error == pytest.approx(1 - metrics.accuracy_score(labels, predicted))
    assert found.top5_error == pytest.approx(1 - metrics.top_k_accuracy_score(labels, logits, k=5))
    assert 0 < found.top5_error < found.error
    assert found.loss == pytest.approx(metrics.log_loss(labels, probabilities(logits)))
    assert found.loss == pytest.approx(
        torch.nn.functional.cross_entropy(torch.tensor(logits), torch.tensor(labels)).item(), rel=1e-5
    )
    counts = confusion(logits, labels, NAMES)
    assert counts.iloc[:, :7].to_numpy().tolist() == metrics.confusion_matrix(labels, predicted).tolist()
    assert counts.iloc[:, -1].sum() == 0
    recall = metrics.recall_score(labels, predicted, average=None)
    assert class_errors(counts)["error"].tolist() == pytest.approx((1 - recall).tolist())
    assert class_errors(counts)["wrong"].sum() == round(found.error * 400)


def test_probabilities_are_torchs_softmax_also_of_large_logits():
    logits = np.array([[1000.0, 999.0, -1000.0], [0.0, 0.0, 0.0]], dtype=np.float32)
    np.testing.assert_allclose(probabilities(logits), torch.tensor(logits).double().softmax(1).numpy(), rtol=1e-12)


def test_calibration_by_hand():
    """Two answers at 0.9, one right; two at 0.55, both right: gaps of 0.4 and 0.45, each over half of the images."""
    shares = np.array([[0.9, 0.1], [0.9, 0.1], [0.55, 0.45], [0.45, 0.55]])
    logits, labels = np.log(shares), np.array([0, 1, 0, 1])
    table = reliability(logits, labels)
    filled = table[table["images"] > 0]
    assert filled["images"].tolist() == [2, 2]
    assert filled[["low", "high"]].to_numpy().ravel().tolist() == pytest.approx([8 / 15, 9 / 15, 13 / 15, 14 / 15])
    assert filled["confidence"].tolist() == pytest.approx([0.55, 0.9])
    assert filled["accuracy"].tolist() == [1.0, 0.5]
    assert len(table) == 15 and table["confidence"].isna().sum() == 13
    assert calibration_error(table) == pytest.approx(0.5 * 0.45 + 0.5 * 0.4)


def test_a_bin_holds_its_upper_end_and_certainty_is_in_the_last_one():
    logits = np.array([[100.0, -100.0], [0.0, 0.0]])
    table = reliability(logits, np.array([0, 0]))
    assert table["images"].tolist() == [0] * 7 + [1] + [0] * 6 + [1]  # 0.5 lies within the eighth of fifteen
    thirds = np.log(np.full((1, 3), 1 / 3))
    assert reliability(thirds, np.array([0]))["images"].iloc[4] == 1  # (4/15, 5/15]


def test_answers_drawn_with_their_probabilities_are_calibrated_and_sharper_ones_are_not():
    generator = np.random.default_rng(1)
    logits = generator.normal(0, 2, (20000, 4))
    labels = np.array([generator.choice(4, p=row) for row in probabilities(logits)])
    assert score(logits, labels).ece < 0.02
    assert score(3 * logits, labels).ece > 0.1


def test_five_classes_have_no_top5_error(data):
    logits, labels = data
    found = score(logits[:, :5], labels % 5)
    assert math.isnan(found.top5_error)
    assert list(found.named("test")) == ["test_images", "test_error", "test_loss", "test_ece"]
    assert "validation_top5_error" in score(logits, labels).named("validation")


def test_equal_logits_are_no_gift():
    """A dead network answers the first class; its top five are the first five."""
    labels = np.arange(7)
    assert wrong(np.zeros((7, 7)), labels).tolist() == [False] + [True] * 6
    assert wrong(np.zeros((7, 7)), labels, top=5).tolist() == [False] * 5 + [True] * 2


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_no_answer(data, value):
    logits, labels = data
    right = np.flatnonzero(~wrong(logits, labels))
    logits[right[:3], 2] = value
    found = score(logits, labels)
    assert found.error == pytest.approx((400 - len(right) + 3) / 400)
    assert math.isnan(found.loss) and math.isnan(found.ece)
    assert wrong(logits, labels, top=5)[right[:3]].all()
    assert answers(logits)[right[:3]].tolist() == [-1] * 3
    counts = confusion(logits, labels, NAMES)
    assert counts.iloc[:, -1].sum() == 3 and counts.to_numpy().sum() == 400
    assert class_errors(counts)["wrong"].sum() == 400 - len(right) + 3
    assert reliability(logits, labels)["images"].sum() == 397


def test_a_network_that_answers_nothing_has_no_calibration():
    found = score(np.full((6, 3), np.nan, dtype=np.float32), np.zeros(6, dtype=int))
    assert (found.error, math.isnan(found.loss), math.isnan(found.ece)) == (1.0, True, True)
    assert math.isnan(calibration_error(reliability(np.full((6, 3), np.nan), np.zeros(6, dtype=int))))


def test_a_class_without_images_has_no_error():
    table = class_errors(confusion(np.eye(3), np.array([0, 1, 1]), ["a", "b", "c"]))
    assert table["images"].tolist() == [1, 2, 0]
    pd.testing.assert_series_equal(table["error"], pd.Series([0.0, 0.5, np.nan], name="error"))


def test_predictions_are_stored_and_read(data, tmp_path):
    logits, labels = data
    for name in ("a", "b"):
        predictions.save(tmp_path / name / "test.safetensors", Predictions(logits, labels, NAMES))
    assert (tmp_path / "a" / "test.safetensors").read_bytes() == (tmp_path / "b" / "test.safetensors").read_bytes()
    found = predictions.load(tmp_path / "a" / "test.safetensors")
    assert found.logits.dtype == np.float32 and found.labels.dtype == np.int64
    np.testing.assert_array_equal(found.logits, logits)
    np.testing.assert_array_equal(found.labels, labels)
    np.testing.assert_array_equal(found.wrong, logits.argmax(1) != labels)
    np.testing.assert_array_equal(found.answers, logits.argmax(1))
    np.testing.assert_allclose(found.probabilities.sum(1), 1)
    assert found.class_names == NAMES


def test_predictions_that_are_not_there_or_damaged_are_named(data, tmp_path):
    path = tmp_path / "test.safetensors"
    with pytest.raises(ValueError, match=r"test\.safetensors: no such file; run `dvc repro`"):
        predictions.load(path)
    predictions.save(path, Predictions(*data, NAMES))
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ValueError, match=r"test\.safetensors: damaged predictions"):
        predictions.load(path)
