"""Normalisation constants by name."""

import pytest

from reslab.data.normalize import NORMALIZATIONS, PUBLISHED
from reslab.errors import UserError
from reslab.schema import bind

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
    ],
)
def test_what_cannot_normalise_is_refused(facts, spec, message):
    with pytest.raises(UserError, match=message):
        constants(facts, **spec)
