"""Panels of a figure, and what shares a colour, where a study has many experiments."""

from itertools import product

import pytest

from reslab.report.axes import MOST_SERIES, Axis, Series, panels, series


def grid(**varied: list) -> dict[str, dict]:
    """Experiment -> settings: every combination of the values, named by them."""
    rows = [dict(zip(varied, values, strict=True)) for values in product(*varied.values())]
    return {"-".join(map(str, row.values())): {f"model.{key}": value for key, value in row.items()} for row in rows}


def test_few_experiments_are_in_one_panel():
    settings = grid(depth=[20, 32], width=[1, 2, 3, 4])
    assert len(settings) == MOST_SERIES
    assert panels(settings) == {"": list(settings)}


def test_many_are_apart_by_the_setting_that_is_known():
    settings = grid(norm=["none", "batch"], depth=[20, 56, 110], tau=[1, 2, 3, 4])
    found = panels(settings)
    assert list(found) == ["depth 20", "depth 56", "depth 110"]
    assert found["depth 56"] == [name for name in settings if "-56-" in name]


def test_else_by_the_one_with_the_fewest_panels_that_are_not_too_full():
    settings = grid(width=[1, 2, 3, 4, 5, 6], cardinality=[1, 2, 3], dropout=[0, 1])
    assert list(panels(settings)) == [f"width {width}" for width in range(1, 7)]  # three or two panels would have over eight
    assert list(panels(grid(width=[1, 2, 3, 4, 5], cardinality=[1, 2]))) == ["cardinality 1", "cardinality 2"]


def test_an_experiment_without_the_setting_has_a_panel_too():
    settings = grid(depth=[20, 32], width=[1, 2, 3, 4]) | {"vgg": {"model.width": 9}}
    assert list(panels(settings)) == ["depth 20", "depth 32", "no depth"]


def test_without_a_setting_that_tells_them_apart_they_are_taken_in_order():
    settings = grid(width=list(range(20)))
    assert panels(settings) == {
        "part 1 of 3": [str(width) for width in range(8)],
        "part 2 of 3": [str(width) for width in range(8, 16)],
        "part 3 of 3": [str(width) for width in range(16, 20)],
    }


@pytest.mark.parametrize("path", ["", "model.depth"])
def test_groups_that_are_too_many_share_the_colours_of_their_panels(path):
    settings = grid(name=["resnet", "wrn", "vgg"], depth=[20, 32], width=[1, 2, 3])
    axis = Axis("depth", path, {name: 1.0 for name in settings if not name.startswith("resnet")} | {"resnet-20-1": 2.0})
    found = series(axis, settings)
    assert [(one.label, one.position) for one in found] == [("model wrn", 1), ("model vgg", 2), ("model resnet", 0)] or path
    assert sorted(name for one in found for members in one.groups for name in members) == sorted(axis.values)


def test_few_groups_keep_their_own_labels():
    settings = grid(depth=[20, 32], width=[1, 2])
    axis = Axis("depth", "model.depth", {name: float(name[:2]) for name in settings})
    assert series(axis, settings) == [
        Series("width 1", 0, [["20-1", "32-1"]]),
        Series("width 2", 1, [["20-2", "32-2"]]),
    ]
