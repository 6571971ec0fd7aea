"""A single image alone in a batch or chunk: refused where batch norm would have one value to take the variance of."""

from dataclasses import replace
from itertools import product

import pytest
import torch
from facts import random_images
from project import SMALL_PARAMS
from whole_runs import fit

from reslab import config
from reslab.errors import UserError
from reslab.experiment.assemble import assemble
from reslab.experiment.bound import bound
from reslab.experiment.check import checked
from reslab.experiment.description import TRACE_STEPS, trace

TO_ONE_PIXEL = {"name": "imagenet_resnet", "block": "basic", "blocks": [1, 1], "width": 4}  # 8x8 images: its last maps are 1x1
TO_FOUR_PIXELS = TO_ONE_PIXEL | {"blocks": [1]}
NO_NORM = {"name": "imagenet_tau_resnet", "blocks": [1, 1], "width": 4, "norm": "none"}


def experiment(model: dict, **train) -> config.Experiment:
    found = config.parse_yaml(SMALL_PARAMS)
    sections = {key: found[key] for key in config.SECTIONS} | {"model": model, "schedule": {"name": "constant"}, "train": train}
    return config.from_sections("it", sections)


def runs(chosen: config.Experiment, images: int) -> bool:
    """Whether it trains for its whole budget, or torch refuses a single value."""
    run = assemble(bound(chosen), random_images("digits", count=images), seed=0, device=torch.device("cpu"))
    try:
        fit(run.step(), run.schedule, run.budget)
    except ValueError as error:
        assert "Expected more than 1 value per channel" in str(error)
        return False
    return True


def accepted(chosen: config.Experiment, images: int) -> bool:
    try:
        checked(chosen, random_images("digits", count=images).facts)
    except UserError as error:
        assert str(error).startswith(f"experiments.it: train: {images} images in batches of")
        return False
    return True


BUDGETS = [{"epochs": 1}, {"epochs": 1, "drop_last": True}, {"iterations": 1}, {"iterations": 3}]


@pytest.mark.parametrize("budget", BUDGETS, ids=str)
def test_what_check_accepts_trains_and_what_it_refuses_does_not(budget):
    outcomes = set()
    for images, batch_size, ghost in product((5, 9), (1, 2, 4, 8), (None, 1, 2, 3)):
        if (ghost or 0) > batch_size or (budget.get("drop_last") and images < batch_size):
            continue
        train = {"batch_size": batch_size} | budget | ({} if ghost is None else {"ghost_batch_size": ghost})
        chosen = experiment(TO_ONE_PIXEL, **train)
        assert accepted(chosen, images) == runs(chosen, images), (images, train)
        outcomes.add(accepted(chosen, images))
    assert outcomes == {True, False}


@pytest.mark.parametrize("model", [TO_FOUR_PIXELS, NO_NORM])
def test_one_image_is_enough_without_a_norm_on_one_pixel(model):
    chosen = experiment(model, epochs=1, batch_size=4)
    assert accepted(chosen, 9)
    assert runs(chosen, 9)


def test_frozen_statistics_need_no_second_image():
    chosen = experiment(TO_ONE_PIXEL, epochs=1, batch_size=4, batch_norm={"frozen": True})
    assert accepted(chosen, 9)
    assert runs(chosen, 9)


@pytest.mark.parametrize(
    ("train", "message"),
    [
        (
            {"batch_size": 4},
            "9 images in batches of 4 leave one image alone, and batch norm {norm} sees 1x1 maps",
        ),
        ({"batch_size": 4}, "variance; give another batch_size or ghost_batch_size, or drop_last: true"),
        ({"batch_size": 3, "ghost_batch_size": 2}, "9 images in batches of 3 in chunks of 2 leave one image alone"),
        ({"batch_size": 3, "ghost_batch_size": 2}, "give another batch_size or ghost_batch_size$"),
        ({"batch_size": 1}, "give another batch_size or ghost_batch_size$"),
    ],
)
def test_the_message_says_what_mends_it(train, message):
    chosen = experiment(TO_ONE_PIXEL, epochs=1, **train)
    facts = random_images("digits", count=9).facts
    with pytest.raises(UserError, match=message.format(norm=r"stages\.\S+")):
        checked(chosen, facts)
    if "drop_last: true" in message:
        checked(replace(chosen, train=chosen.train.model_copy(update={"drop_last": True})), facts)


def test_the_description_traces_a_network_that_needs_two_images():
    """Its batches are smaller than the real ones, and so are their chunks and tails: never too small for batch norm."""
    chunked = experiment(TO_ONE_PIXEL, epochs=1, batch_size=8, ghost_batch_size=4)
    whole = experiment(TO_ONE_PIXEL, epochs=9, batch_size=9)
    with pytest.raises(ValueError, match="Expected more than 1 value per channel"):
        trace(bound(chunked), random_images("digits", count=8), batch_size=2)
    assert len(trace(bound(chunked), random_images("digits", count=8), batch_size=2, least=2)) == TRACE_STEPS
    assert len(trace(bound(whole), random_images("digits", count=9), batch_size=8, least=2)) == 1
