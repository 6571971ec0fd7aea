"""Settings as one level of paths and values, and as text."""

import pytest

from reslab.config.settings import flatten, flow, varied
from reslab.config.yaml import parse_yaml


def test_flatten_keeps_lists_whole():
    assert flatten({"a": {"b": 1, "c": {"d": 2}}, "e": [{"f": 1}]}) == {"a.b": 1, "a.c.d": 2, "e": [{"f": 1}]}


def test_what_varies_is_in_the_order_it_is_written():
    settings = {"one": {"x": 1, "y": 2, "z": 3}, "two": {"x": 1, "z": 4, "w": 5}}
    assert varied(settings) == ["y", "z", "w"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"name": "sgd", "lr": 0.1, "nesterov": True}, "{name: sgd, lr: 0.1, nesterov: true}"),
        ([{"name": "flip"}, {"name": "cutout", "size": None}], "[{name: flip}, {name: cutout, size: null}]"),
        (1.0, "1.0"),
    ],
)
def test_flow_reads_back_as_the_value(value, text):
    assert flow(value) == text
    assert parse_yaml(text) == value


def test_flow_shortens_floats_alone():
    assert flow({"a": 0.12345678, "b": 1.0, "c": 12345678}, digits=6) == "{a: 0.123457, b: 1, c: 12345678}"
