"""Key maps as a stranger or a slip of the hand makes them: one line names what is wrong, within a second, or the names are new."""

import random

import pytest
import torch
from checkpoints import fattorib, tau
from fuzzing import fuzz
from hypothesis import given
from hypothesis import strategies as st

from reslab.errors import UserError
from reslab.weights import keymaps
from reslab.weights.keymaps import patterns
from reslab.weights.keymaps.apply import apply

LONGEST_MESSAGE = 700
NAMES = [*list(fattorib(20))[:8], *list(tau(20, norm=True))[-8:], "a" * 60 + "!", "layer1.0.conv1.weight", "1" * 200, "ünï.cødé²"]
TENSORS = dict.fromkeys(NAMES, torch.zeros(2))
TARGETS = ["stem.conv.weight", "stages.0.0.conv1.weight", "stages.0.12.bn1.weight", "fc.bias"]
PIECES = [
    *(
        "a",
        "bn",
        r"\.",
        ".",
        r"\d+",
        r"\w",
        "stage",
        "layer",
        "first_block",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        "*",
        "+",
        "?",
        "|",
        "^",
        "$",
    ),
    *(
        "(?P<s>",
        r"(?P<n>\d+)",
        "(?:",
        "(?=",
        "(?!",
        "(?<=",
        "(?i)",
        "(?P=s)",
        r"\1",
        r"\Z",
        "{3}",
        "{1,99999999999}",
        "{2,1}",
        "*?",
        "++",
    ),
    *("(a+)+", "(a|a)*$", r"(.*)*x", r"(\w+\.?)+!", "(" * 300, "[[a]", "[a--b]", r"\N{DIGIT ONE}", "\\", "\x00", "é", "ſ"),
]
FILLED = [
    "{s}",
    "{s-1}",
    "{n-1}",
    "{n-" + "9" * 990 + "}",
    "{last}",
    "{",
    "}",
    "{}",
    "{s" * 50,
    "stages.",
    "{s}" * 300,
    "x" * 990,
    "\n",
    "\ud800",
]


def joined(pieces: list[str], most: int) -> st.SearchStrategy[str]:
    """Up to so many of the pieces in a row, from one number: a draw for each would take ten times as long."""

    def text(seed: int) -> str:
        draw = random.Random(seed)
        return "".join(draw.choices(pieces, k=draw.randint(0, most)))

    return st.integers(0, 2**40).map(text)


GOOD = [
    "layer",
    r"\d+",
    r"\.",
    r"(?P<s>\d+)",
    "(?P<n>[a-z]+)",
    "bn1",
    "conv",
    r"\w*",
    ".",
    "first_block",
    "(?:a|b)?",
    "(?=l)",
    "(.*)*x",
]
FITS = ["stages.", "{s}", "{s-1}", "{n}", "{last}.", "x", "fc."]
pattern = joined(GOOD, 4) | joined(GOOD, 2) | joined(PIECES, 6) | joined(PIECES, 2) | st.sampled_from([3, None, True, "a" * 2000])
new = joined(FITS, 4) | joined(FITS, 2) | joined(FILLED + PIECES, 5) | joined(FILLED, 1)
flag = {"optional": st.sampled_from([True, True, True, False, "yes"])}
rename = st.fixed_dictionaries({"from": pattern, "to": new}, optional=flag)
sections = {
    "drop": st.lists(st.fixed_dictionaries({"match": pattern, "because": new}), max_size=2),
    "tied": st.lists(st.fixed_dictionaries({"match": pattern, "to": new}), max_size=2),
    "in_order": st.lists(st.fixed_dictionaries({"from": pattern, "to": pattern}, optional=flag), max_size=2),
    "rename": st.lists(rename, max_size=4)
    | st.recursive(st.none() | st.text(max_size=3), lambda inner: st.lists(inner, max_size=2)),
}
documents = st.fixed_dictionaries({"about": st.text(max_size=5)}, optional=sections)
SHIPPED = [keymaps.SHIPPED / f"{name}.yaml" for name in ("resnets-cifar10", "tau-resnet-imagenet-nobn", "torchvision-vgg")]
HARM = [
    "",
    "'",
    '"',
    "{",
    "[",
    "- ",
    ": ",
    "&a ",
    "*a",
    "\t",
    "\n",
    "# ",
    "é",
    "\x00",
    "?",
    "|",
    "(",
    "*",
    "+",
    "{last}",
    "optional: true",
]


@st.composite
def damaged(draw) -> str:
    """A shipped key map with something put in or cut out at some places."""
    text = draw(st.sampled_from(SHIPPED)).read_text(encoding="utf-8")
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(text)))
        text = text[:start] + draw(st.sampled_from(HARM)) + text[start + draw(st.integers(0, 12)) :]
    return text


def used_or_refused(read) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(patterns, "SECONDS", 0.002)  # what would take years is told from the rest just as well
        try:
            mapped = apply(read(), TENSORS, TARGETS)
        except UserError as error:
            assert len(str(error)) < LONGEST_MESSAGE
        else:
            assert all(name.isprintable() and len(name) <= patterns.LONGEST for name in mapped.tensors)


LOST = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # in a finalizer; the next signal comes


@LOST
@fuzz(2000)
@given(document=documents)
def test_a_key_map_is_used_or_refused_in_one_line(document):
    used_or_refused(lambda: keymaps.parse(document))


@LOST
@fuzz(100)
@given(text=damaged())
def test_a_damaged_file_is_used_or_refused_in_one_line(text, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "own.yaml"
    path.write_text(text, encoding="utf-8")
    used_or_refused(lambda: keymaps.read(str(path)))
