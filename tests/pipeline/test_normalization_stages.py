"""A mean image through the stages: in the description a checksum, with the weights in full, in every use the same numbers."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import NO_MLFLOW, stage, stage_here
from project import SMALL_PARAMS

from reslab import config
from reslab.data import prepared
from reslab.errors import UserError
from reslab.experiment.bound import bound
from reslab.experiment.check import checked
from reslab.report.predictions.scores import score
from reslab.weights import onnx
from reslab.weights.file import read_metadata
from reslab.weights.network import load_network
from reslab.weights.predict import predict_held_out


@pytest.fixture
def folder(tmp_path, small_images) -> Path:
    text = SMALL_PARAMS.replace("name: computed", "name: mean_image\n  std: scalar").replace("seeds:\n- 0\n- 1", "seeds:\n- 0")
    (tmp_path / "params.yaml").write_text(text)
    prepared.save(small_images, tmp_path / "data" / "prepared", name="small", validation=8)
    return tmp_path


def test_a_network_is_used_with_the_mean_image_it_was_trained_with(folder):
    for run, script, *arguments in (
        (stage_here, "describe.py", "plain-tau", "m.json"),
        (stage, "train.py", "plain-tau", "m.json", "runs"),
        (stage_here, "evaluate.py", "plain-tau", "runs", "scores.json", "history.csv", "predictions"),
    ):
        done = run(folder, script, *arguments, RESLAB_WORKERS="1", **NO_MLFLOW)
        assert done.returncode == 0, done.stderr
    described = json.loads((folder / "m.json").read_text())["normalization"]
    assert set(described) == {"mean_image", "std"}
    assert len(described["mean_image"]) == 64
    data = prepared.load(folder / "data" / "prepared")
    kept = read_metadata(folder / "runs" / "seed0" / "model.safetensors")["normalization"]
    assert kept["mean"] == data.mean_image().tolist()
    np.testing.assert_allclose(kept["mean"], data.train.images.mean(0) / 255, rtol=1e-12)
    assert kept["std"] == pytest.approx([data.train.images.std() / 255] * 3)

    stored = load_network(folder / "runs" / "seed0")
    record = json.loads((folder / "scores.json").read_text())["runs"][0]
    found = predict_held_out([stored], data, torch.device("cpu"))[0]["test"]
    assert score(found.logits, found.labels).loss == pytest.approx(record["test_loss"], abs=1e-9)
    pixels = torch.from_numpy(data.test.images).float()
    logits = stored.classifier.network.float()((pixels / 255 - torch.tensor(kept["mean"])) / kept["std"][0])
    torch.testing.assert_close(stored.classifier(pixels), logits, rtol=1e-4, atol=1e-4)
    difference = onnx.export(stored.classifier, folder / "x.onnx", image_shape=[3, 8, 8], description=stored.description)
    assert difference < 1e-3


def test_the_mean_image_is_that_of_the_images_that_train(folder):
    data = prepared.load(folder / "data" / "prepared")
    mean, _ = bound(config.load(folder / "params.yaml").experiment("plain-tau")).normalization(data)
    assert len(data.train) == 32
    np.testing.assert_allclose(mean, data.train.images.mean(0) / 255, rtol=1e-12)


CHANNELS = {"image_shape": [3, 8, 8], "class_names": list("abcd"), "train": 40, "mean": [0.5] * 3, "std": [0.2] * 3}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "- name: pad_crop\n  padding: 1\n",
            "- name: normalize\n- name: trivial_augment\n",
            r"augment\[1\]: works on pixels 0\.\.255 only",
        ),
        ("- name: pad_crop\n  padding: 1\n", "- name: cutout\n  size: 9\n  inside: true\n", r"augment\[0\]: a square of 9 pixels"),
        ("padding: 1", "padding: 8\n  mode: reflect", r"augment\[0\]: padding 8 by reflection needs images of more than 8"),
        ("name: cross_entropy", "name: dual_cutout", r"loss: dual_cutout compares two views .* augment"),
        ("  padding: 1", "  padding: 1\n- name: mixup\n- name: ricap", r"augment\[1\]: mixup and ricap cannot be combined"),
    ],
)
def test_recipes_that_cannot_be_meant_are_refused_before_anything_is_trained(old, new, message):
    assert old in SMALL_PARAMS
    study = config.parse(config.parse_yaml(SMALL_PARAMS.replace(old, new)))
    with pytest.raises(UserError, match=rf"^experiments\.plain-tau: {message}"):
        checked(study.experiment("plain-tau"), CHANNELS)


@pytest.mark.parametrize("mixing", ["mixup", "cutmix", "ricap", "dual_cutout\n  size: 4"])
def test_recipes_of_every_kind_are_accepted(mixing):
    steps = f"  padding: 1\n- name: flip\n- name: normalize\n- name: cutout\n  size: 4\n- name: {mixing}"
    loss = "name: dual_cutout" if mixing.startswith("dual") else "name: cross_entropy"
    text = SMALL_PARAMS.replace("  padding: 1", steps).replace("name: cross_entropy", f"{loss}\n  label_smoothing: 0.1")
    checked(config.parse(config.parse_yaml(text)).experiment("plain-tau"), CHANNELS)
