"""A study on encoded images, through all stages; and what cannot be meant is refused before anything runs."""

import json
from pathlib import Path

import pytest
import torch
from commands import NO_MLFLOW, reslab, stage, stage_here
from pictures import write_pictures
from project import SMALL_PARAMS

from reslab.data import prepared
from reslab.data.batches.order import Order
from reslab.data.batches.placement import placed
from reslab.report.predictions.scores import cross_entropy
from reslab.weights.network import load_network
from reslab.weights.predict import predict_held_out

DATASET = """\
dataset:
  name: image_folder
  source: pictures
  image_size: 32
  stored: files
  validation: 6
"""
AUGMENT = "augment:\n- name: random_resized_crop\n- name: flip\n"
EVALUATION = "  batch_size: 8\n  evaluation: {crops: ten}\n"


def study(text: str = SMALL_PARAMS) -> str:
    replaced = text.replace("dataset:\n  name: digits\n", DATASET).replace("augment:\n- name: pad_crop\n  padding: 1\n", AUGMENT)
    replaced = replaced.replace("  batch_size: 128\n", EVALUATION).replace("seeds:\n- 0\n- 1\n", "seeds:\n- 0\n")
    assert replaced.count("ten") == replaced.count("files") == 1
    return replaced


def run(folder: Path, script: str, *arguments: str, **environment: str) -> str:
    done = (stage if script == "train.py" else stage_here)(folder, script, *arguments, **environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def train(folder: Path, **environment: str) -> dict:
    """The record of the first experiment's one seed, trained in a project folder."""
    run(folder, "train.py", "plain-tau", "m.json", "data/runs/plain-tau", **environment)
    run(folder, "evaluate.py", "plain-tau", "data/runs/plain-tau", "runs.json", "history.csv", "predictions", **environment)
    return json.loads((folder / "runs.json").read_text())["runs"][0]


@pytest.fixture
def folder(tmp_path):
    write_pictures(tmp_path / "pictures")
    (tmp_path / "params.yaml").write_text(study())
    return tmp_path


@pytest.mark.slow
def test_a_study_on_files_trains_through_the_stages(folder):
    run(folder, "fetch.py", "data/raw")
    said = run(folder, "preprocess.py", "data/raw", "data/prepared", RESLAB_DECODERS="1")
    assert said == "image_folder: 18 train, 6 validation, 10 test images of 3x32x32, 2 classes\n"
    run(folder, "describe.py", "plain-tau", "m.json")
    described = json.loads((folder / "m.json").read_text())
    assert described["dataset"]["resize"] == 36
    assert len(described["trace"]) == 3
    record = train(folder)
    assert record["status"] == "finished"
    history = (folder / "history.csv").read_text().splitlines()
    assert len(history) == 1 + 2  # epochs
    last = dict(zip(history[0].split(","), history[-1].split(","), strict=True))
    assert float(last["test_loss"]) == pytest.approx(record["test_loss"], rel=1e-5)

    network, data = load_network(folder / "data" / "runs" / "plain-tau" / "seed0"), prepared.load(folder / "data" / "prepared")
    (found,) = predict_held_out([network], data, torch.device("cpu"))  # in ten crops, as it was trained
    assert cross_entropy(found["test"].logits, found["test"].labels) == pytest.approx(record["test_loss"], rel=1e-5)
    assert set(found) == {"test", "validation"}
    check_prediction(folder, data)

    weights = (folder / "data" / "runs" / "plain-tau" / "seed0" / "model.safetensors").read_bytes()
    for left in (folder / "checkpoints", folder / "data" / "runs"):
        left.rename(folder / f"{left.name}-first")
    again = train(folder, RESLAB_DECODERS="2", **NO_MLFLOW)  # decoded by other processes: the same network
    assert again["test_loss"] == record["test_loss"]
    assert (folder / "data" / "runs" / "plain-tau" / "seed0" / "model.safetensors").read_bytes() == weights


def check_prediction(folder: Path, data: prepared.Prepared) -> None:
    """`reslab predict` shows the network what an evaluation in one crop does: the centre."""
    network, picture = folder / "data" / "runs" / "plain-tau" / "seed0", folder / "pictures" / "test" / "dog" / "0001.jpg"
    shown = reslab("predict", str(network), str(picture), "--top", "1").splitlines()[-1].split()
    assert data.test.name(5) == "test/dog/0001.jpg"  # after five cats
    images, *_ = next(placed(data.test, Order(len(data.test), 10, shuffle=False), torch.device("cpu")).epoch(0))
    with torch.no_grad():
        probabilities = load_network(network).classifier(images[5:6].float()).softmax(1)[0]
    assert shown[-2:] == [data.facts["class_names"][int(probabilities.argmax())], f"{probabilities.max():.4f}"]


WRONG = {
    "crop after flip": (
        AUGMENT,
        "augment:\n- name: flip\n- name: random_resized_crop\n",
        "augment[1]: random_resized_crop must be",
    ),
    "padding of files": ("crops: ten", "crops: ten, padding: 4", "train.evaluation.padding is for images in memory"),
    "average of one": ("crops: ten", "average: logits", "train: evaluation: average and padding are for crops: ten"),
    "unknown crops": ("crops: ten", "crops: five", "train.evaluation.crops: 'five' is not allowed: should be 'single' or 'ten'"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_files_cannot_have_is_refused(folder, name):
    run(folder, "fetch.py", "data/raw")
    run(folder, "preprocess.py", "data/raw", "data/prepared", RESLAB_DECODERS="1")
    old, new, message = WRONG[name]
    assert old in study()
    (folder / "params.yaml").write_text(study().replace(old, new))
    done = stage_here(folder, "describe.py", "plain-tau", "m.json")
    assert done.returncode == 1
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_ten_crops_of_images_in_memory_need_padding(tmp_path, small_images):
    prepared.save(small_images, tmp_path / "data" / "prepared", name="small", validation=0)
    plain = SMALL_PARAMS.replace("- 0\n- 1\n", "- 0\n")
    text = plain.replace("  batch_size: 128\n", "  batch_size: 128\n  evaluation: {crops: ten}\n")
    (tmp_path / "params.yaml").write_text(text)
    done = stage_here(tmp_path, "describe.py", "plain-tau", "m.json")
    assert "train.evaluation: ten crops of images in memory need `padding: ...`" in done.stderr
    (tmp_path / "params.yaml").write_text(text.replace("{crops: ten}", "{crops: ten, padding: 1, average: logits}"))
    run(tmp_path, "describe.py", "plain-tau", "m.json")
    ten = train(tmp_path, **NO_MLFLOW)
    (tmp_path / "params.yaml").write_text(plain)
    run(tmp_path, "describe.py", "plain-tau", "m.json")
    single = train(tmp_path, **NO_MLFLOW)
    assert ten["train_loss"] == single["train_loss"]  # the same network
    assert ten["test_loss"] != single["test_loss"]
