"""Normalisation constants by name."""

import numpy as np
import pytest

from reslab.config.schema import bind
from reslab.data.normalize import NORMALIZATIONS, PUBLISHED, summary
from reslab.errors import UserError

FACTS = {"image_shape": [3, 32, 32], "mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]}


def constants(facts=FACTS, **spec):
    return bind(NORMALIZATIONS, spec, "normalize")(facts)


def test_choices():
    assert constants(name="computed") == ([0.1, 0.2, 0.3], [0.4, 0.5, 0.6])
    assert constants(name="published", constants="imagenet") == PUBLISHED["imagenet"]
    assert constants(name="constants", mean=[0.0, 0.0, 0.0], std=[1.0, 1.0, 1.0]) == ([0.0] * 3, [1.0] * 3)


@pytest.mark.parametrize(
    ("facts", "spec", "message"),
    [
        (FACTS, {"name": "published", "constants": "cifar"}, "allowed: cifar10"),
        (FACTS, {"name": "published", "constants": "mnist"}, "for 3 channels"),
        (FACTS, {"name": "constants", "mean": [0.0], "std": [1.0]}, "for 3 channels"),
        (FACTS, {"name": "constants", "mean": [0.0] * 3, "std": [1.0, 0.0, 1.0]}, "greater than 0"),
        (FACTS | {"std": [0.0, 1.0, 1.0]}, {"name": "computed"}, "std 0"),
        (FACTS | {"mean": [0.5] * 3, "std": [0.0] * 3}, {"name": "scalar_std"}, "std 0"),
        (FACTS, {"name": "mean_image", "std": "channel"}, r"normalize\.std: 'channel' is not allowed"),
    ],
)
def test_what_cannot_normalise_is_refused(facts, spec, message):
    with pytest.raises(UserError, match=message):
        constants(facts, **spec)


def test_one_std_is_that_of_all_pixels_of_all_channels():
    pixels = np.random.default_rng(0).random((7, 3, 4, 4)) * np.array([1, 2, 3])[:, None, None]
    facts = {"image_shape": [3, 4, 4], "mean": pixels.mean((0, 2, 3)).tolist(), "std": pixels.std((0, 2, 3)).tolist()}
    for spec in ({"name": "scalar_std"}, {"name": "mean_image", "std": "scalar"}):
        mean, std = constants(facts, **spec)
        assert std == pytest.approx([pixels.std()] * 3)
        assert mean == (facts["mean"] if spec["name"] == "scalar_std" else None)
    assert constants(facts, name="mean_image") == (None, [1.0] * 3)


def test_a_description_holds_numbers_per_channel_and_a_mean_images_checksum():
    assert summary([0.5], [0.2]) == {"mean": [0.5], "std": [0.2]}
    images = [[[[0.1, 0.2], [0.3, 0.4]]], [[[0.1, 0.2], [0.3, 0.5]]]]
    first, second = (summary(image, [1.0]) for image in images)
    assert first["std"] == [1.0]
    assert len(first["mean_image"]) == 64
    assert first != second
