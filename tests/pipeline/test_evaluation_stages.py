"""evaluate and aggregate after a real `dvc repro` of the small study, and on what may be missing."""

import json
import re

import numpy as np
import pandas as pd
import pytest
import torch
from commands import NO_MLFLOW, stage, stage_here
from PIL import Image
from project import SMALL_PARAMS, call, starts

from reslab.data import prepared
from reslab.report import predictions
from reslab.report.predictions.scores import score
from reslab.weights.network import load_network


def test_the_stored_logits_are_the_networks_and_every_number_is_theirs(trained):
    data = prepared.load(trained / "data" / "prepared")
    for run in json.loads((trained / "metrics" / "runs" / "own-tau.json").read_text())["runs"]:
        folder = trained / "data" / "predictions" / "own-tau" / f"seed{run['seed']}"
        found = predictions.load(folder / "test.safetensors")
        with torch.no_grad():
            classifier = load_network(trained / "data" / "runs" / "own-tau" / f"seed{run['seed']}").classifier
            logits = classifier(torch.from_numpy(data.test.images).float())
        np.testing.assert_allclose(found.logits, logits.numpy(), atol=1e-3)
        np.testing.assert_array_equal(found.labels, data.test.labels)
        assert {key: run[key] for key in run if key in score(found.logits, found.labels).named("test")} == score(
            found.logits, found.labels
        ).named("test")
        assert run["test_images"] == 360
        classes = pd.read_csv(folder / "test_classes.csv")
        assert classes["wrong"].sum() == round(360 * run["test_error"])
        pairs = pd.read_csv(folder / "test_confusion.csv", dtype={"true": str, "predicted": str}, keep_default_na=False)
        assert pairs["images"].sum() == 360
        assert pairs[pairs["true"] != pairs["predicted"]]["images"].sum() == classes["wrong"].sum()
        table = pd.read_csv(folder / "test_reliability.csv")
        gaps = (table["confidence"] - table["accuracy"]).abs() * table["images"]
        assert gaps.sum() / 360 == pytest.approx(run["test_ece"], abs=1e-5)
    sheet = Image.open(trained / "data" / "predictions" / "own-tau" / "mistakes.png")
    assert sheet.width > 300


def test_the_tables_are_there(trained):
    folder = trained / "metrics" / "tables"
    assert len(pd.read_csv(folder / "networks.csv")) == 4
    (row,) = pd.read_csv(folder / "comparisons.csv").to_dict("records")
    assert (row["experiment"], row["against"]) == ("own-tau", "plain-tau")
    trained_seeds = pd.read_csv(folder / "results.csv").set_index("experiment")["n"]
    assert len(pd.read_csv(folder / "mcnemar.csv")) == trained_seeds.min()  # those that did not train have no pair
    assert len(pd.read_csv(folder / "classes.csv")) == 10 * (trained_seeds > 0).sum()
    for name in ("results", "networks", "comparisons", "classes"):
        assert (folder / f"{name}.md").read_text().count("\n|") >= 2
    assert not (folder / "published.md").exists()
    assert len(json.loads((trained / "metrics" / "summary.json").read_text())["own-tau"]) == 3


def test_predictions_are_cached_by_dvc_and_not_in_git(trained):
    assert "data/predictions" not in call(trained, "git", "ls-files").stdout
    assert "data/predictions/own-tau" in (trained / "dvc.lock").read_text()


def test_what_is_compared_trains_and_evaluates_nothing(project):
    before = starts(project)
    with (project / "params.yaml").open("a") as params:
        params.write("  published: {own-tau: {error: 40, runs: 1, source: nobody}}\n  compare: {pairs: [[plain-tau, own-tau]]}\n")
    printed = call(project, "dvc", "repro").stdout
    assert "Running stage 'aggregate'" in printed
    assert "Running stage 'train" not in printed and "Running stage 'evaluate" not in printed
    assert starts(project) == before
    assert "| nobody" in (project / "metrics" / "tables" / "published.md").read_text()
    assert pd.read_csv(project / "metrics" / "tables" / "comparisons.csv")["against"].tolist() == ["own-tau"]
    assert "**Small**" in printed and "Difference: ours minus published" in printed and "Holm" in printed


def test_a_validation_split_has_predictions_too_and_the_stage_leaves_nothing_old(tmp_path, small_images):
    (tmp_path / "params.yaml").write_text(SMALL_PARAMS.replace("- 1\n", "", 1))
    prepared.save(small_images, tmp_path / "data" / "prepared", name="small", validation=8)
    (tmp_path / "predictions" / "seed7").mkdir(parents=True)
    for run, script, *arguments in (
        (stage_here, "describe.py", "plain-tau", "m.json"),
        (stage, "train.py", "plain-tau", "m.json", "runs"),
        (stage_here, "evaluate.py", "plain-tau", "runs", "scores.json", "history.csv", "predictions"),
    ):
        done = run(tmp_path, script, *arguments, RESLAB_WORKERS="1", **NO_MLFLOW)
        assert done.returncode == 0, done.stderr
    names = sorted(path.relative_to(tmp_path / "predictions").as_posix() for path in (tmp_path / "predictions").rglob("*.*"))
    tables = ("classes.csv", "confusion.csv", "reliability.csv")
    splits = [f"seed0/{split}" for split in ("test", "validation")]
    assert names == sorted(
        ["mistakes.png", *(f"{split}.safetensors" for split in splits), *(f"{s}_{t}" for s in splits for t in tables)]
    )
    (run,) = json.loads((tmp_path / "scores.json").read_text())["runs"]
    assert (run["test_images"], run["validation_images"]) == (12, 8)
    assert run["validation_ece"] > 0 and "test_top5_error" not in run  # four classes


def test_without_predictions_the_tables_of_the_records_are_made_and_the_rest_is_said(project):
    of_records = ["experiment", "n", "untrained", "mean", "std", "median", "test_ece"]
    before = pd.read_csv(project / "metrics" / "tables" / "results.csv")[of_records]
    for folder in ("tables", "plots"):
        for path in (project / "metrics" / folder).iterdir():
            path.unlink()
    done = stage_here(project, "aggregate.py", "metrics", "--predictions", "nowhere")
    assert done.returncode == 0, done.stderr
    assert re.search(r"warning: nowhere: no predictions of plain-tau-s0, .*own-tau-s1; `dvc repro evaluate`", done.stderr)
    pd.testing.assert_frame_equal(pd.read_csv(project / "metrics" / "tables" / "results.csv")[of_records], before)
    assert not (project / "metrics" / "tables" / "classes.md").exists()
    assert "networks" not in pd.read_csv(project / "metrics" / "tables" / "comparisons.csv")
