"""score: on the pipeline's own networks, in their precision, and on other test sets."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from project import SMALL_PARAMS

from reslab import config
from reslab.cli import weights as cli
from reslab.data import prepared
from reslab.errors import UserError
from reslab.experiment.assemble import assemble
from reslab.experiment.bound import bound
from reslab.report import predictions
from reslab.report.statistics.samples import wilson_interval
from reslab.weights.file import save_weights
from reslab.weights.network import load_network
from reslab.weights.predict import logits_of, predict_held_out

NETWORK = "data/runs/plain-tau/seed0"


def test_score_is_what_the_pipeline_measured(trained, monkeypatch, capsys):
    monkeypatch.chdir(trained)
    cli.score(trained / NETWORK)
    (record,) = (run for run in json.loads((trained / "metrics/runs/plain-tau.json").read_text())["runs"] if run["seed"] == 0)
    row = capsys.readouterr().out.splitlines()[-1].replace(" %", "").split()
    low, high = (100 * bound for bound in wilson_interval(round(360 * record["test_error"]), 360))
    top5, ece = (f"{100 * record[key]:.2f}" for key in ("test_top5_error", "test_ece"))
    error, interval = f"{100 * record['test_error']:.2f}", [f"[{low:.2f},", f"{high:.2f}]"]
    assert row == ["test", "360", error, *interval, top5, f"{record['test_loss']:.4f}", ece]


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16", "pure_bfloat16", "pure_float16", "float64"])
def test_score_is_in_the_precision_of_the_training(tmp_path, small_images, precision):
    """The score is the one that the pipeline's own evaluation gives to the same weights."""
    prepared.save(small_images, tmp_path / "prepared", name="digits", validation=0)
    data, sections = prepared.load(tmp_path / "prepared"), config.parse_yaml(SMALL_PARAMS)
    sections = {key: sections[key] for key in config.SECTIONS} | {"train": {"epochs": 1, "batch_size": 8, "precision": precision}}
    run = assemble(bound(config.from_sections("it", sections)), data, seed=0, device=torch.device("cpu"))
    mean, std = bound(config.from_sections("it", sections)).normalization(data)
    description = {"config": sections, "dataset": data.facts, "normalization": {"mean": mean, "std": std}}
    save_weights(tmp_path / "model.safetensors", run.model, description)
    (expected,) = logits_of([run.model], run.held_out["test"], precision=run.rule.precision)
    found = predict_held_out([load_network(tmp_path)], data, torch.device("cpu"))[0]["test"]
    assert np.array_equal(found.logits, expected)
    save_weights(tmp_path / "model.safetensors", run.model, description | {"config": {"model": sections["model"]}})
    plain = predict_held_out([load_network(tmp_path)], data, torch.device("cpu"))[0]["test"]
    assert np.array_equal(plain.logits, expected) == (precision == "float32")


def test_score_refuses_other_images_and_classes(trained, small_images, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    prepared.save(small_images, tmp_path / "data" / "prepared", name="x", validation=0)
    with pytest.raises(UserError, match=r"image_shape is \[1, 8, 8\] in the network, \[3, 8, 8\] in the dataset"):
        cli.score(trained / NETWORK)


def test_score_on_another_test_set_is_the_same_for_the_same_images(trained, tmp_path, monkeypatch, capsys):
    data, network = prepared.load(trained / "data" / "prepared"), trained / NETWORK
    np.save(tmp_path / "new.npy", data.test.images[:50, 0])
    np.save(tmp_path / "labels.npy", data.test.labels[:50].astype(np.int32))
    for i in range(50):
        folder = tmp_path / "folder" / "test" / data.facts["class_names"][data.test.labels[i]]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(data.test.images[i, 0]).save(folder / f"{i}.png")
    monkeypatch.chdir(tmp_path)
    cli.score(network, images=tmp_path / "new.npy", labels=tmp_path / "labels.npy", output=tmp_path / "logits")
    from_arrays = capsys.readouterr().out.splitlines()[-1].split()
    cli.score(network, images=tmp_path / "folder")
    assert capsys.readouterr().out.splitlines()[-1].split()[1:] == from_arrays[1:]
    assert from_arrays[:2] == ["new", "50"]
    stored_answers = predictions.load(trained / "data" / "predictions" / "plain-tau" / "seed0" / "test.safetensors")
    saved = predictions.load(tmp_path / "logits" / "new.safetensors")
    np.testing.assert_allclose(saved.logits, stored_answers.logits[:50], atol=1e-5)
    assert saved.labels.tolist() == data.test.labels[:50].tolist()


def test_score_says_what_is_wrong_with_another_test_set(trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="--labels goes with --images"):
        cli.score(trained / NETWORK, labels=tmp_path / "labels.npy")
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match=r"notes\.txt: is a file; give a folder"):
        cli.score(trained / NETWORK, images=tmp_path, output=tmp_path / "notes.txt")
    Image.new("L", (8, 8)).save(tmp_path / "cat.png")
    with pytest.raises(UserError, match=r"the folder names must be the network's classes, .*; unknown: \['"):
        cli.score(trained / NETWORK, images=tmp_path)


def test_images_that_are_none_are_refused_and_never_run(trained, tmp_path, monkeypatch):
    """An EPS under another name would start Ghostscript; a pipe would be waited for."""
    monkeypatch.chdir(trained)
    Image.new("RGB", (8, 8)).save(tmp_path / "x.eps")
    (tmp_path / "x.eps").rename(tmp_path / "x.png")
    os.mkfifo(tmp_path / "pipe.png")
    with (tmp_path / "huge.png").open("wb") as file:
        file.truncate(2**40)
    for path, message in (
        (tmp_path / "x.png", "unknown image format"),
        (tmp_path / "pipe.png", "not a plain file"),
        (tmp_path / "huge.png", "over the limit of 268,435,456 for an image"),
        (tmp_path / "no.png", "no such"),
    ):
        with pytest.raises(UserError, match=message):
            cli.predict(Path(NETWORK), [path])


def test_score_says_what_it_leaves_out(trained, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(trained)
    for i in range(10):
        for name in (f"test/{i}/{i}.png", f"test/{i}/deep/er.png", f"train/{i}/{i}.png"):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (8, 8), 10 * i).save(tmp_path / name)
    (tmp_path / "test" / "0" / "photo.HEIC").write_bytes(b"")
    cli.score(Path(NETWORK), images=tmp_path)
    said = capsys.readouterr()
    assert "10 images in train/ (" in said.err and "1 .heic ('test/0/photo.HEIC')" in said.err
    assert " 20 " in said.out
