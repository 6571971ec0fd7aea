"""Every recipe of the shipped studies fits 32 real images: augmentation, mixing, loss, optimizer and precision together."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from facts import facts
from sklearn.datasets import load_digits
from test_recipes import FOLDER, blanked, study

from reslab.config import library
from reslab.config.study import Experiment
from reslab.data.prepared import Prepared
from reslab.data.prepared.splits import Arrays
from reslab.experiment.assemble import assemble
from reslab.experiment.bound import bound
from reslab.training.evaluation import wrong
from reslab.training.loop import set_rate
from reslab.training.step import train_step

IMAGES, STEPS, USUAL_RATE = 32, 60, 0.05
FAST = {"name": "imagenet_resnet", "block": "basic", "blocks": [1, 1, 1, 1]}  # its stem makes small maps: less work
STEADY = {"name": "resnet", "depth": 8}  # for rates above 1, which are for batches of thousands


def distance(experiment: Experiment) -> float:
    """How far a row's rate is from one for 32 images; rows of large batches have rates for these."""
    return abs(math.log(experiment.optimizer.get("lr", USUAL_RATE) / USUAL_RATE))


def recipes() -> list:
    """Of each set of rows that differ in model, schedule and numbers only, the one with the most usual rate."""
    found = {}
    for name in library.names(FOLDER):
        for experiment in study(name).experiments.values():
            sections = {key: blanked(value) for key, value in experiment.sections.items() if key not in ("model", "schedule")}
            for budget in ("epochs", "iterations", "drop_last"):
                sections["train"].pop(budget, None)
            key = json.dumps(sections, sort_keys=True)
            found[key] = min(found.get(key, (math.inf,)), (distance(experiment), name, experiment.name))
    return [pytest.param(name, row, id=f"{name}-{row}") for _, name, row in found.values()]


def digits(dataset: str) -> Prepared:
    """32 of scikit-learn's digits, enlarged to the dataset's shape."""
    channels, size, _ = facts(dataset)["image_shape"]
    pixels, labels = load_digits(return_X_y=True)
    images = (pixels[:IMAGES].reshape(-1, 1, 8, 8) * 255 / 16).astype(np.uint8)
    factor = size // 8
    enlarged = np.pad(images.repeat(factor, 2).repeat(factor, 3), [(0, 0), (0, 0), *[((size - 8 * factor) // 2,) * 2] * 2])
    split = Arrays(np.ascontiguousarray(enlarged.repeat(channels, 1)), labels[:IMAGES].astype(np.int64))
    return Prepared(split, None, split, facts(dataset) | {"train": IMAGES})


@pytest.mark.slow
@pytest.mark.parametrize(("name", "row"), recipes())
def test_every_recipe_fits_32_images(name, row):
    experiment = study(name).experiment(row)
    dataset = study(name).dataset["name"]
    chunk = {"ghost_batch_size": IMAGES // 2} if experiment.train.ghost_batch_size else {}
    train = experiment.train.model_copy(update={"batch_size": IMAGES, "evaluation": None} | chunk)
    width = 16 if len(facts(dataset)["class_names"]) > 100 else 8  # what is trained is the recipe
    network = STEADY if experiment.optimizer.get("lr", USUAL_RATE) > 1 else FAST
    trained = replace(experiment, model=network | {"width": width}, train=train)
    run = assemble(bound(trained), digits(dataset), seed=0, device=torch.device("cpu"))
    run.model.train()
    for step in range(STEPS):
        run.rule.batch_norm.begin_epoch(run.model)
        set_rate(run.optimizer, 1 - step / STEPS)
        (batch,) = run.batches.iterate(step + 1)
        train_step(run.model, batch, run.loss, run.optimizer, run.rule)
    (clean,) = run.held_out["test"].iterate()
    with torch.no_grad():  # statistics of the batch: the running ones of momentum 0.01 are not there yet
        logits = run.model(clean[0].to(run.rule.precision.weights))
    assert wrong(logits.float(), clean[1]).sum() <= IMAGES / 2  # chance: nine in ten; 60 steps at rates meant for 60,000
