"""Limits of key maps: patterns that would take years, names without end, and each slip by name."""

import re
import threading
import time

import pytest
import torch
from torch import nn

from reslab.errors import UserError
from reslab.weights import keymaps, published
from reslab.weights.keymaps import patterns
from reslab.weights.keymaps.apply import apply

LONGEST_MESSAGE = 700
TARGETS = ["stem.conv.weight", "fc.bias"]
CATASTROPHES = [
    "(a+)+$",
    "(a|a)*$",
    "(a|aa)+$",
    "(.*)*x$",
    r"(\w+)*:",
    "(a*)*b",
    "((a?){30}){30}b",
    "(?:a+){2,}$",
    "(?=(a+)+$)a",
    "(a+)+(?<!x)$",
]


@pytest.mark.parametrize("section", ["drop", "tied", "in_order", "rename"])
@pytest.mark.parametrize("pattern", CATASTROPHES)
def test_a_pattern_that_would_take_years_is_stopped(tmp_path, monkeypatch, section, pattern):
    monkeypatch.setattr(patterns, "SECONDS", 0.05)
    rule = {"drop": {"match": pattern, "because": "x"}, "tied": {"match": pattern, "to": "x"}}.get(
        section, {"from": pattern, "to": "x"}
    )
    (tmp_path / "own.yaml").write_text(repr({"about": "x", section: [rule]}).replace("\\\\", "\\"))
    before = time.process_time()
    with pytest.raises(UserError, match=rf"^{section}\[0\].*: matching the names takes more than 0.05 s of computing; write"):
        apply(keymaps.read(str(tmp_path / "own.yaml")), {"a" * 200 + "!": torch.zeros(1)}, TARGETS)
    assert time.process_time() - before < 5  # of computing, not of waiting: it would be longer than the universe is old


def test_the_rules_of_a_map_share_their_time(tmp_path, monkeypatch):
    """Many slow rules are as bad as one."""
    monkeypatch.setattr(patterns, "SECONDS", 0.1)
    slow = {"from": "(a|a)*$", "to": "x", "optional": True}  # some hundredths of a second each
    (tmp_path / "own.yaml").write_text(repr({"about": "x", "rename": [slow] * 500}).replace("True", "true"))
    with pytest.raises(UserError, match=r"^rename\[\d+\]\.(from|to): matching the names takes more than"):
        apply(keymaps.read(str(tmp_path / "own.yaml")), {"a" * 17 + "!": torch.zeros(1)}, TARGETS)


def test_outside_the_main_thread_maps_work_too():
    found = []
    network = nn.Linear(3, 2)
    keys = keymaps.KeyMap(
        about="", drop=[], tied=[], in_order=[], rename=[keymaps.Rename(**{"from": re.compile("x").pattern, "to": ""})]
    )
    tensors = {"xweight": torch.ones(2, 3), "xbias": torch.ones(2)}
    thread = threading.Thread(target=lambda: found.append(published.load(network, tensors, keys)))
    thread.start()
    thread.join()
    assert found[0][0].renamed == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "about: x\nrename:\n- {from: 'a(?<=b*)', to: b}\n",
            r"rename\[0\]\.from: 'a\(\?<=b\*\)' is not allowed: should be a valid reg",
        ),
        ("about: x\nrename:\n- {from: 'a{1,99999999999}', to: b}\n", "should be a valid regular expression"),
        (
            "about: x\nin_order:\n- {from: a, to: '(b'}\n",
            r"in_order\[0\]\.to: '\(b' is not allowed: should be a valid regular expression",
        ),
        ("about: x\nrename:\n- {from: '" + "(" * 900 + ")" * 900 + "', to: b}\n", r"rename\[0\]\.from: .* at most 1000 characters"),
        (
            "about: x\nrename:\n- {from: '" + "(" * 450 + "x{2,1}" + ")" * 450 + "', to: b}\n",
            r"should be a valid regular expression",
        ),
        ("about: x\nrename:\n- {from: 3, to: b}\n", r"rename\[0\]\.from: 3 is not allowed: should be a regular expression"),
        (
            "about: x\nrename:\n- {from: 'a', to: \"b\\nc\"}\n",
            r"rename\[0\]\.to: 'b\\nc' is not allowed: should be one line of printable",
        ),
        (
            "about: x\nrename: [" + "{from: a, to: b}, " * 1001 + "]\n",
            "rename: .* is not allowed: list should have at most 1000 items",
        ),
        ("about: " + "x" * 2**20 + "\n", "larger than 1,048,576 bytes|characters"),
    ],
)
def test_each_kind_by_name(tmp_path, text, message):
    (tmp_path / "own.yaml").write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        keymaps.read(str(tmp_path / "own.yaml"))
    assert len(str(caught.value)) < LONGEST_MESSAGE + len(str(tmp_path))


def test_a_name_does_not_grow_without_end(tmp_path):
    rules = [{"from": "(?P<s>.*)", "to": "{s}{s}{s}{s}{s}{s}{s}{s}"}] * 30
    (tmp_path / "own.yaml").write_text(repr({"about": "x", "rename": rules}))
    with pytest.raises(UserError, match=r"rename\[2\]\.to: gives a name of more than 1000 characters"):
        apply(keymaps.read(str(tmp_path / "own.yaml")), {"ab": torch.zeros(1)}, TARGETS)
