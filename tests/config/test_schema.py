"""bind: a function's keyword-only signature is its schema."""

from typing import Literal

import pytest

from reslab.config.schema import bind
from reslab.errors import UserError


def shape(context, *, sides: int, size: float = 1.0, colour: Literal["red", "blue"] = "red", rule: float | str = 1.0):
    if sides < 3:
        raise UserError(f"sides {sides} is not allowed: at least 3")
    return context, sides, size, colour, rule


TABLE = {"shape": shape}


def test_options_are_bound_and_defaults_kept():
    assert bind(TABLE, {"name": "shape", "sides": 4, "rule": "1/L"}, "x")("here") == ("here", 4, 1.0, "red", "1/L")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"name": "shap", "sides": 3}, "x.name: unknown name 'shap' (did you mean 'shape'?); allowed: shape"),
        ({"name": "shape"}, "x: missing key 'sides'"),
        ({"name": "shape", "sides": "3"}, "x.sides: '3' is not allowed: should be a valid integer"),
        ({"name": "shape", "sides": True}, "x.sides: True is not allowed: should be a valid integer"),
        ({"name": "shape", "sides": 3, "sizes": 1}, "x: unknown key 'sizes' (did you mean 'size'?)"),
        ({"name": "shape", "sides": 3, "colour": "green"}, "x.colour: 'green' is not allowed: should be 'red' or 'blue'"),
        ({"name": "shape", "sides": 3, "rule": []}, "x.rule: [] is not allowed"),
        ({"sides": 3}, "x: expected `{name: ..., options}`"),
        ("shape", "x: expected `{name: ..., options}`"),
    ],
)
def test_what_is_wrong_is_said_with_its_path(spec, message):
    with pytest.raises(UserError) as caught:
        bind(TABLE, spec, "x")
    assert message in str(caught.value)


def test_the_functions_own_refusal_gets_the_path():
    with pytest.raises(UserError, match="x: sides 2 is not allowed: at least 3"):
        bind(TABLE, {"name": "shape", "sides": 2}, "x")(None)
