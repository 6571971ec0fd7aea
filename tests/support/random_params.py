"""Random params.yaml: studies with changes that nobody means, as documents and as text."""

import copy
import datetime
import inspect
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, get_args

from hypothesis import strategies as st

from reslab.config import library
from reslab.experiment.bound import TABLES

BASES = ("digits-tau", "hysts-paper-settings", "hysts-wrn-shake-regularizers", "hysts-mixing-preact20", "he2015-imagenet")


def nested(levels: int) -> Any:
    """Lists and mappings inside one another."""
    value: Any = 1
    for level in range(levels):
        value = [value] if level % 2 else {"name": value}
    return value


# What YAML can say and nobody means.
HOSTILE = [
    *(None, True, False, "", " ", "true", "null", "NA", "020", "~", "..", "a.b", "$(x)", "{x}", "%s", "\0", "\x1b[31m", "猫 –"),
    *(0, 1, -1, 2, 3, 7, 255, 256, 4096, 4097, 10**6, 10**9, 2**31, 2**32, 2**53 + 1, 2**63 - 1, -(2**63) + 1),
    *(0.0, -0.0, 0.5, 1.0, 1e-320, 1e308, -1e308, float("inf"), float("-inf"), float("nan")),
    *("x" * 9_000, "9" * 5_000, "0.1*B/128", "1/sqrt(L)", "1/L^" + "9" * 400, "9" * 400 + "/L", "0/L", "B/0", "B" * 500),
    *("os:system", "a:b:c", "no_such:f", "torchvision:x"),
    *([], {}, [[]], [None], {"name": None}, {"name": []}, {"name": "x" * 10_000}, {1: 2}, {None: 1}, {(1, 2): 3}, {"x" * 9_999: 1}),
    *(nested(40), list(range(1_000)), dict.fromkeys("abc" * 100, 1), [10**9], [1] * 8, [0.1, 0.2], [0.2, 0.1], [1, 2, 3]),
    *(datetime.date(2001, 1, 1), datetime.datetime(2001, 1, 1), b"x", {"a", "b"}),
]
NEAR = [
    1,
    2,
    3,
    4,
    8,
    10,
    14,
    16,
    20,
    29,
    0.0,
    0.1,
    0.5,
    0.9,
    1.0,
    2.5,
    True,
    False,
    None,
    [2, 2],
    [1, 1, 1],
    [0.1, 0.5],
    [8, 16],
    "1/L",
    "0.1*B",
]
PLAIN = st.one_of(
    st.sampled_from(HOSTILE),
    st.integers(-(2**63) + 1, 2**63 - 1),
    st.floats(),
    st.text(max_size=20),
    st.integers(0, 40),
    st.floats(0, 1),
)


@cache
def base(name: str) -> dict:
    """A study as it is shipped, with at most three of its experiments."""
    document = library.compose(name)
    few = list(document["experiments"])[:3]
    return library.subset(document, rows=few, seeds=[0, 1])


@cache
def options(function: Callable) -> dict[str, list]:
    """The options of an entry of a table, each with the words it may be."""
    parameters = inspect.signature(function).parameters.values()
    return {each.name: list(words(each.annotation)) for each in parameters if each.kind is each.KEYWORD_ONLY}


def words(kind: Any) -> Iterator[Any]:
    """The words of a Literal, wherever it stands in a type."""
    for part in get_args(kind):
        if isinstance(part, str | bool | int):
            yield part
        else:
            yield from words(part)


@st.composite
def entries(draw: st.DrawFn, section: str) -> Any:
    """An entry of a section's table with some of its options, often nearly right."""
    table = TABLES[section]
    name = draw(st.sampled_from(sorted(table)))
    entry = {"name": name}
    for option, known in options(table[name]).items():
        if draw(st.booleans()):
            right = st.sampled_from(known or NEAR)
            entry[option] = draw(st.one_of(right, right, right, st.sampled_from(NEAR), PLAIN))
    return entry


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key) in a document."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from places(value[key])


def change(draw: st.DrawFn, document: dict) -> None:
    """Change something: a value, a key, a type, a whole section."""
    container, key = draw(st.sampled_from(list(places(document))))
    kind = draw(st.sampled_from(["replace", *["entry"] * 6, "remove", "rename", "wrap", "copy"]))
    if kind == "entry":
        section = draw(st.sampled_from(sorted(TABLES)))
        entry, (outer, *inner) = copy.deepcopy(draw(entries(section))), section.split(".")
        where = document if draw(st.booleans()) else next(iter(document["experiments"].values()), None)
        if not isinstance(where, dict):
            return
        where[outer] = {"name": "cosine", inner[0]: entry} if inner else [entry] if outer == "augment" else entry
    elif kind == "remove":
        del container[key]
    elif kind == "rename" and isinstance(container, dict):
        container[draw(st.one_of(st.text(max_size=8), st.sampled_from(["NA", "020", 20, None, True, 1.5, "x" * 61, "A", "a"])))] = (
            container[key]
        )
    elif kind == "wrap":
        container[key] = draw(st.sampled_from([[container[key]], {"name": container[key]}, str(container[key])]))
    elif kind == "copy":
        other, place = draw(st.sampled_from(list(places(document))))
        container[key] = copy.deepcopy(other[place])
    else:
        container[key] = copy.deepcopy(draw(PLAIN))


@st.composite
def documents(draw: st.DrawFn) -> dict:
    """A study with one to three changes."""
    document = copy.deepcopy(base(draw(st.sampled_from(BASES))))
    for _ in range(draw(st.sampled_from([1, 1, 1, 2, 3]))):
        if document.get("experiments") and isinstance(document["experiments"], dict):
            change(draw, document)
    return document


TEXT = """\
study: a
seeds: [0, 1]
model: &m {name: tau_resnet, depth: 20, tau: 1/sqrt(L)}
augment:
- {name: pad_crop, padding: 1}
train: {epochs: 3, lr: 1e-4}
experiments:
  base: {}
  "020": {model: {<<: *m, depth: 0x2C}}
"""
PIECES = [
    *(
        "&m ",
        "*m",
        "*x",
        "<<: ",
        "[",
        "]",
        "{",
        "}",
        ": ",
        "- ",
        "? ",
        "|\n",
        ">-\n",
        "'",
        '"',
        "#",
        "%",
        "@",
        "null",
        "~",
        "=",
        "\t",
    ),
    *("!!int ", "!!set ", "!!binary ", "!x ", "---\n", "...\n", "\n  ", "\0", "\ufeff", "\u2028", "\x85", "é", "%YAML 1.1\n---\n"),
    *("2001-99-99", "0x", "0o8", "1_0", ".nan", "9" * 50, '"\\ud800"', "[" * 60),
]
CHANGES = st.tuples(st.integers(0, len(TEXT)), st.integers(0, 12), st.one_of(st.sampled_from(PIECES), st.text(max_size=4)))
