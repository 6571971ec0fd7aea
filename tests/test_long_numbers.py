"""Numbers of thousands of digits, which Python does not convert: in names they are put in order, elsewhere refused in one line."""

import re

import pytest

from reslab.cli.options import seed_list
from reslab.environment import count_from_environment
from reslab.errors import UserError
from reslab.runs.spread import joined_by_torchrun
from reslab.weights.keymaps.naming import fill, numbered
from reslab.weights.outputs import order_of_outputs

LONG = "9" * 5000


def counted(monkeypatch):
    monkeypatch.setenv("RESLAB_WORKERS", LONG)
    count_from_environment("RESLAB_WORKERS", 1)


@pytest.mark.parametrize(
    "use",
    [
        counted,
        lambda _: seed_list(f"1,{LONG}"),
        lambda _: fill("x{block-1}", {"block": LONG}, []),
        lambda _: fill(f"x{{block-{LONG}}}", {"block": "3"}, []),
        lambda _: order_of_outputs(None, sorted(["a2", "a10", f"a{LONG}"])),
    ],
    ids=["environment", "seeds", "group", "less", "classes"],
)
def test_they_are_refused_in_one_line(monkeypatch, use):
    with pytest.raises(UserError):
        use(monkeypatch)


def test_they_are_put_in_order():
    assert numbered(re.compile(r"a\d+"), [f"a{LONG}", "a10", "a2"]) == ["a2", "a10", f"a{LONG}"]
    assert fill("x.{last}", {}, ["x.9.w", f"x.1{LONG}.w", f"x.{LONG}.w"]) == f"x.1{LONG}"


@pytest.mark.parametrize(
    ("name", "value"),
    [("RANK", "a"), ("WORLD_SIZE", LONG), ("LOCAL_RANK", "-1"), ("MASTER_PORT", "a"), ("MASTER_ADDR", "no-such-host.invalid")],
)
def test_variables_of_torchrun_are_checked(monkeypatch, name, value):
    given = {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}
    for key, text in (given | {name: value}).items():
        monkeypatch.setenv(key, text)
    with pytest.raises(UserError, match=name), joined_by_torchrun():
        pass
