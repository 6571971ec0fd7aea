"""What is said of classes and calibration over all seeds of an experiment, from stored predictions."""

import re

import numpy as np
import pandas as pd
import pytest

from reslab.report import predictions
from reslab.report.figures.reliability import LEAST, plot_reliability
from reslab.report.figures.style import COLOURS
from reslab.report.html import figures
from reslab.report.predictions import digest
from reslab.report.predictions.file import Predictions
from reslab.report.predictions.scores import class_errors, confused, confusion, reliability
from reslab.report.tables.classes import classes_markdown

LABELS = np.array([0, 0, 0, 0, 1, 1, 2, 2])


@pytest.fixture
def runs(tmp_path):
    """Experiment a with two networks and a diverged one; b with one whose file is missing."""
    for name, seed, answers in (("a", 0, [0, 0, 0, 1, 1, 1, 2, 2]), ("a", 1, [0, 0, 1, 1, 1, 0, 2, 2])):
        logits = np.log(0.7 * np.eye(3)[answers] + 0.1).astype(np.float32)
        predictions.save(tmp_path / name / f"seed{seed}" / "test.safetensors", Predictions(logits, LABELS, ["cat", "dog", "ship"]))
    rows = [("a", 0, "finished"), ("a", 1, "finished"), ("a", 2, "diverged"), ("b", 0, "finished")]
    return pd.DataFrame(rows, columns=["experiment", "seed", "status"])


def test_digests_are_of_what_finished_and_is_there(runs, tmp_path):
    digests, missing = digest.read(runs, tmp_path)
    assert list(digests) == [("a", 0), ("a", 1)]
    assert missing == ["b-s0"]
    assert digests["a", 0].wrong.tolist() == [False, False, False, True, False, False, False, False]


def test_classes_and_confusions(runs, tmp_path):
    digests, _ = digest.read(runs, tmp_path)
    classes = digest.by_class(digests)
    assert classes["class"].tolist() == ["cat", "dog", "ship"]
    assert classes["images"].tolist() == [4, 2, 2]
    assert classes["error"].tolist() == pytest.approx([0.375, 0.25, 0.0])
    assert classes["std"].tolist() == pytest.approx([np.std([0.25, 0.5], ddof=1), np.std([0, 0.5], ddof=1), 0.0])
    found = digest.confusions(digests)
    assert found.to_numpy().tolist() == [["a", "cat", "dog", 3, 0.375], ["a", "dog", "cat", 1, 0.25]]
    row = classes_markdown(classes, found).splitlines()[2]
    assert [cell.strip() for cell in row.split("|")[1:-1]] == [
        *["a", "cat (37.5), dog (25.0)", "cat as dog (37.5), dog as cat (25.0)"]
    ]


def test_pooled_calibration_is_that_of_all_answers_together(runs, tmp_path):
    digests, _ = digest.read(runs, tmp_path)
    pooled = digest.pooled_reliability(digests)["a"]
    both = [predictions.load(tmp_path / "a" / f"seed{seed}" / "test.safetensors") for seed in (0, 1)]
    expected = reliability(np.concatenate([network.logits for network in both]), np.tile(LABELS, 2))
    pd.testing.assert_frame_equal(pooled, expected, check_dtype=False)
    for name in ("a", "b"):
        plot_reliability({"a": pooled}, {"": ["a"]}, tmp_path / f"{name}.svg")
    assert (tmp_path / "a.svg").read_text() == (tmp_path / "b.svg").read_text()
    assert "confidence" in (tmp_path / "a.svg").read_text()


def test_an_experiment_has_the_colour_of_its_place_in_the_study(runs, tmp_path):
    """The first of the study diverged and has no answers; the page and the curves count it all the same."""
    pooled = digest.pooled_reliability(digest.read(runs, tmp_path)[0])
    pooled["a"]["images"] *= LEAST
    plot_reliability(pooled, {"": ["gone", "a"]}, tmp_path / "plot.svg")
    plot, page = (tmp_path / "plot.svg").read_text().upper(), figures.reliability(pooled, ["gone", "a"], "r")
    assert [colour for colour in COLOURS[:-1] if colour in plot] == [COLOURS[1]]  # the last, black, is that of letters
    assert set(re.findall("--c[0-9]", page)) == {"--c1"}


@pytest.mark.parametrize(
    "names",
    [
        ["false", "true"],
        ["(none)", "some"],
        ["(no answer)", "1"],
        ["020", "20"],
        ["NA", "null"],
        ["crane", "crane"],
        ["true", "predicted"],
        ["0", "a|b"],
    ],
)
def test_names_of_classes_are_text_and_never_structure(tmp_path, names):
    """In what evaluate writes and in what the study's tables make of it; the third image has no answer."""
    logits = np.array([[3, 0], [3, 0], [np.nan, 0], [0, 3]], dtype=np.float32)
    found = Predictions(logits, np.array([0, 1, 1, 1]), names)
    counts = confusion(found.logits, found.labels, names)
    confused(counts).to_csv(tmp_path / "test_confusion.csv", index=False)
    class_errors(counts).to_csv(tmp_path / "test_classes.csv", index=False)
    pairs = pd.read_csv(tmp_path / "test_confusion.csv", dtype={"true": str, "predicted": str}, keep_default_na=False)
    assert pairs[["true", "predicted", "images"]].to_numpy().tolist() == [
        [names[0], names[0], 1],
        [names[1], names[0], 1],
        [names[1], names[1], 1],
        [names[1], "", 1],
    ]
    classes = pd.read_csv(tmp_path / "test_classes.csv", dtype={"class": str}, keep_default_na=False)
    assert classes["class"].tolist() == names and classes["wrong"].tolist() == [0, 2]
    digests = {("a", seed): digest.Digest(found.wrong, counts, reliability(found.logits, found.labels)) for seed in (0, 1)}
    assert digest.by_class(digests)["class"].tolist() == names
    mistaken = digest.confusions(digests)
    assert mistaken[["true", "predicted", "images"]].to_numpy().tolist() == [
        [names[1], names[0], 2],
        [names[1], digest.NO_ANSWER, 2],
    ]
    rows = classes_markdown(digest.by_class(digests), mistaken).splitlines()
    assert f"{names[1]} (66.7)".replace("|", r"\|") in rows[2] and rows[2].replace(r"\|", "").count("|") == 4
