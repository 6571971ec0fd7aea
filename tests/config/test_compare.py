"""report.compare: what is compared, and what cannot be."""

import pytest

from reslab.config.report import compared
from reslab.errors import UserError

EXPERIMENTS = {"base": {}, "deep": {}, "wide": {}}


@pytest.mark.parametrize(
    ("section", "pairs"),
    [
        (None, [("deep", "base"), ("wide", "base")]),
        ({"baseline": "deep"}, [("base", "deep"), ("wide", "deep")]),
        ({"pairs": [["wide", "deep"], ["base", "wide"]]}, [("wide", "deep"), ("base", "wide")]),
        ({"pairs": []}, []),
    ],
)
def test_comparisons(section, pairs):
    assert compared(section, EXPERIMENTS) == pairs


def test_one_experiment_is_compared_with_nothing():
    assert compared(None, {"base": {}}) == []


@pytest.mark.parametrize(
    ("section", "message"),
    [
        (
            {"baseline": "dep"},
            r"report\.compare\.baseline: unknown name 'dep' \(did you mean 'deep'\?\); allowed: base, deep, wide",
        ),
        ({"pairs": [["deep", "bas"]]}, r"report\.compare\.pairs\[0\]: unknown name 'bas'"),
        ({"pairs": [["deep", "base"], ["base", "deep"]]}, r"pairs\[1\]: base and deep are compared twice"),
        ({"pairs": [["deep", "deep"]]}, r"pairs\[0\]: deep against itself"),
        ({"pairs": [["deep"]]}, r"report\.compare\.pairs\[0\]: \['deep'\] is not allowed: list should have at least 2 items"),
        ({}, r"report\.compare: give exactly one of baseline, pairs"),
        ({"baseline": "base", "pairs": []}, "give exactly one"),
        ({"base": "deep"}, r"report\.compare: unknown key 'base' \(did you mean 'baseline'\?\); allowed: baseline, pairs"),
        ("deep", r"report\.compare: 'deep' is not allowed"),
    ],
)
def test_what_cannot_be_compared_is_named(section, message):
    with pytest.raises(UserError, match=message):
        compared(section, EXPERIMENTS)
