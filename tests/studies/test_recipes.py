"""Every recipe of the shipped studies trains: two real steps of each, rows that differ only in numbers once."""

import json
import re
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch
from facts import facts, random_images
from whole_runs import fit

from reslab import config
from reslab.config import library
from reslab.config.study import Experiment
from reslab.experiment.assemble import assemble
from reslab.experiment.bound import bound
from reslab.training.schedule.budget import Budget

FOLDER = Path(__file__).parents[2] / "studies"
LARGE = 5_000_000  # parameters of a network that is slow, which these are:
SLOW = "imagenet-|resnet1001|wrn28-(10|ricap)|pyramidnet(110-a270|164)|shake-shake26-2x(64|96)d|vgg15|densenet100|resnext29"


@cache
def study(name: str) -> config.Study:
    return config.parse(library.compose(name, FOLDER))


def blanked(value):
    """A section without its numbers: what is left decides which code runs."""
    if isinstance(value, dict):
        return {key: blanked(part) for key, part in value.items()}
    if isinstance(value, list):
        return [blanked(part) for part in value]
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else value


def numbers(value) -> float:
    """The sum of a section's numbers: of two networks that differ in numbers only, the one with less is the smaller."""
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return sum(map(numbers, parts)) if parts else value if isinstance(value, int | float) else 0


def recipes() -> list:
    """One experiment, the one with the smallest network, of each set that differs in numbers only."""
    found = {}
    for name in library.names(FOLDER):
        for experiment in study(name).experiments.values():
            key = json.dumps([facts(study(name).dataset["name"])["image_shape"], blanked(experiment.sections)], sort_keys=True)
            size = numbers(experiment.model)
            found[key] = min(found.get(key, (size, name, experiment.name)), (size, name, experiment.name))
    return [recipe(name, experiment) for _, name, experiment in found.values()]


def recipe(name: str, experiment: str):
    key = f"{name}-{experiment}"
    return pytest.param(name, experiment, id=key, marks=[pytest.mark.slow] if re.search(SLOW, key) else [])


def small(experiment: Experiment, *, batch_size: int) -> Experiment:
    """The experiment with a batch of a few images, and two of them in each chunk where it has chunks."""
    chunk = {"ghost_batch_size": 2} if experiment.train.ghost_batch_size else {}
    return replace(experiment, train=experiment.train.model_copy(update={"batch_size": batch_size} | chunk))


@pytest.mark.parametrize(("name", "experiment"), recipes())
def test_every_recipe_takes_two_steps(name, experiment):
    given = study(name).experiment(experiment)
    batch_size = 4 if given.train.ghost_batch_size else 2
    dataset = study(name).dataset["name"]
    run = assemble(
        bound(small(given, batch_size=batch_size)),
        random_images(dataset, count=3 * batch_size),  # an epoch is longer than the two steps: the warm-ups fit into the budget
        seed=0,
        device=torch.device("cpu"),
    )
    scaler = run.rule.scaler
    if scaler.is_enabled():  # its first scale is so large that deep nets skip their first steps until it has halved a few times
        scaler.load_state_dict(scaler.state_dict() | {"scale": 1.0})
    size = sum(parameter.numel() for parameter in run.model.parameters())
    assert (size > LARGE) == bool(re.search(SLOW, f"{name}-{experiment}")), f"{size} parameters: SLOW is out of date"
    before = [parameter.detach().clone() for parameter in run.model.parameters()]
    (record,) = fit(run.step(), run.schedule, Budget(2, run.budget.steps_per_epoch))
    assert (record.step, record.diverged) == (2, False)
    assert any(not torch.equal(old, new) for old, new in zip(before, run.model.parameters(), strict=True))
