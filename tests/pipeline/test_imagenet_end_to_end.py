"""ImageNet from its official archives through every stage, with made-up pictures of ImageNet's usual size."""

import io
import os
import signal
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from ilsvrc_archives import devkit, table, tar
from PIL import Image
from project import call, clone, start

from reslab.data.datasets import ilsvrc
from reslab.runs.network_files import experiment_record

CLASSES, TRAIN, TEST = 20, 80, 20  # images of each class
WORDNET = {number: f"n{number:08}" for number in range(1, CLASSES + 1)}
TINTS = [(1, 0.6, 0.6), (0.6, 1, 0.6), (0.6, 0.6, 1), (1, 1, 1)]
CHANCE = 1 - 1 / CLASSES
EPOCHS = 6
STUDY = f"""\
study: stripes
seeds: [0]
dataset: {{name: imagenet, source: imagenet, image_size: 64, complete: false}}
normalize: {{name: published, constants: imagenet}}
model: {{name: imagenet_resnet, depth: 18}}
augment: [{{name: random_resized_crop}}, {{name: flip}}]
loss: {{name: cross_entropy}}
optimizer: {{name: sgd, lr: 0.02, momentum: 0.9, weight_decay: 1e-4}}
schedule: {{name: cosine}}
train: {{epochs: {EPOCHS}, batch_size: 64}}
experiments: {{resnet018: {{}}}}
report: {{title: Stripes}}
"""


def picture(number: int, generator: np.random.Generator) -> bytes:
    """A JPEG of 500x400 with grain: stripes of one of five directions in one of four colours, of any brightness, at any place."""
    rows, columns = np.mgrid[:400, :500]
    angle, tint = np.pi / 2 * (number % 5) / 4, TINTS[number % CLASSES // 5]  # a mirror image has the same direction
    phase = 2 * np.pi * (generator.random() + (rows * np.sin(angle) + columns * np.cos(angle)) / 40)
    pixels = generator.uniform(60, 120) * (1 + 0.8 * np.sin(phase)[..., None]) * np.array(tint)
    pixels = pixels + generator.normal(0, 12, (400, 500, 3))
    out = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(out, "JPEG", quality=90)
    return out.getvalue()


def write_archives(folder: Path) -> None:
    generator = np.random.default_rng(0)
    answers = [int(number) for number in generator.permutation(np.repeat(list(WORDNET), TEST))]
    folder.mkdir()
    train = {
        f"{name}.tar": tar({f"{name}_{image}.JPEG": picture(number, generator) for image in range(TRAIN)})
        for number, name in WORDNET.items()
    }
    (folder / ilsvrc.TRAIN).write_bytes(tar(train))
    tests = {f"ILSVRC2012_val_{place:08}.JPEG": picture(number, generator) for place, number in enumerate(answers, 1)}
    (folder / ilsvrc.VALIDATION).write_bytes(tar(tests))
    (folder / ilsvrc.DEVKIT).write_bytes(devkit(table(WORDNET), answers))


@pytest.mark.exhaustive
@pytest.mark.timeout(3600)
def test_imagenet_is_trained_by_two_processes_killed_once_to_an_error_far_below_chance(tmp_path, monkeypatch):
    monkeypatch.setenv("RESLAB_PROCESSES", "2")
    project = clone(tmp_path / "reslab", STUDY)
    write_archives(project / "imagenet")

    killed = start(project, "dvc", "repro")
    while not list(project.glob("checkpoints/*/seed0/checkpoint.pt")):
        assert killed.poll() is None, call(project, "dvc", "repro", check=False).stderr
        time.sleep(0.1)
    for process in [*psutil.Process(killed.pid).children(recursive=True), psutil.Process(killed.pid)]:
        os.kill(process.pid, signal.SIGKILL)
    killed.wait()
    assert not (project / "data" / "runs" / "resnet018").exists()

    call(project, "dvc", "repro")
    (run,) = experiment_record(project / "metrics" / "runs" / "resnet018.json")["runs"]
    assert (run["status"], run["resumed"], run["epoch"]) == ("finished", 1, EPOCHS)
    assert run["processes"] == [{"from_epoch": 1, "processes": 2}]
    assert run["test_error"] < 0.1 < CHANCE
