"""What asks for too much is refused by name before anything is made of it, and the message does not repeat it."""

import itertools
import resource
import sys

import pytest
import torch
from facts import facts

from reslab import config, environment
from reslab.config.names import check_experiments, check_name
from reslab.config.yaml import DEEPEST, LONGEST, MOST, MOST_OF_DVC, parse_of_dvc, parse_yaml, read_yaml
from reslab.errors import UserError
from reslab.experiment.bound import bound
from reslab.experiment.check import checked
from reslab.experiment.networks import build_network

LETTERS = "abcdefghi"


def bomb(form: str) -> str:
    """Nine levels, each nine times the one before."""
    lines = [f"{LETTERS[0]}: &{LETTERS[0]} " + ("{x: 1}" if "<<" in form else "[1]")]
    for level, (before, letter) in enumerate(itertools.pairwise(LETTERS)):
        lines.append(f"{letter}: &{letter} " + form.format(", ".join([f"*{before}"] * 9), level))
    return "\n".join(lines)


TOO_MUCH = {
    "a number of 4,301 digits": ("a: " + "9" * 4301, "line 1: .* is too large"),
    "a number of 100,000 digits": ("a: -" + "9" * 100_000, "is too large"),
    "a number of 100,000 digits in base 16": ("a: 0x" + "f" * 100_000, "is too large"),
    "2**63": (f"a: {2**63}", "is too large"),
    "2,000 lists": ("[" * 2000 + "]" * 2000, f"more than {DEEPEST} levels"),
    "2,000 mappings": ("{a: " * 2000 + "}" * 2000, f"more than {DEEPEST} levels"),
    "2,000 indented": ("\n".join(" " * level + "a:" for level in range(400)), f"line {DEEPEST}: more than {DEEPEST} levels"),
    "2,000 dashes": ("- " * 2000, f"more than {DEEPEST} levels"),
    "lists of aliases": (bomb("[{0}]"), f"more than {MOST} values"),
    "mappings of aliases": (bomb("{{y: [{0}], z: 1}}"), f"more than {MOST} values"),
    "merged aliases": (bomb("{{<<: [{0}], z{1}: 1}}"), f"more than {MOST} values"),
    "an alias in itself": ("a: &a [1, *a]", "line 1: an alias refers to a value that contains it"),
    "an alias in its mapping": ("a: &a {b: {c: *a}}", "an alias refers to a value that contains it"),
    "many values": ("[" + "1," * (MOST + 1) + "]", f"more than {MOST} values"),
    "a large file": ("#" * (LONGEST + 1), "characters are too many"),
    "half a character": ('a: "\\ud83d"', "is not text"),
    "YAML 1.1": ("%YAML 1.1\n---\na: no", "another language"),
    "a thirteenth month": ("a: 2001-13-01", "not valid YAML"),
    "a tag that does not fit": ("a: !!int none", "not valid YAML"),
    "a tag of Python": ("a: !!python/object/apply:os.system [x]", "tag"),
    "a long key twice": (f"? {'k' * 5000}\n: 1\n? {'k' * 5000}\n: 2", "duplicate key"),
}


@pytest.mark.parametrize(("text", "message"), TOO_MUCH.values(), ids=TOO_MUCH)
def test_yaml_that_asks_for_too_much(text, message):
    with pytest.raises(UserError, match=message) as raised:
        parse_yaml(text)
    assert len(str(raised.value)) < 300


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "{a: " * 100_000, "- " * 100_000, bomb("[{0}]"), "a: &a [*a]", "a: 2001-13-01", "\0"]
)
def test_a_lock_file_that_asks_for_too_much(text, monkeypatch):
    """Deep nesting ended the parser in C, and with it the process."""
    monkeypatch.setattr("reslab.config.yaml.MOST_OF_DVC", 5000)
    with pytest.raises(UserError) as raised:
        parse_of_dvc(text)
    assert len(str(raised.value)) < 300


def test_a_lock_file_may_be_long_and_have_the_aliases_that_dvc_writes():
    text = "a: &id001 [1, 2]\nb: *id001\n" + f"c: {'x' * (LONGEST + 1)}"
    assert MOST_OF_DVC > MOST
    assert [parse_of_dvc(text)[key] for key in "ab"] == [[1, 2], [1, 2]]


def test_what_is_just_within_the_bounds_is_read():
    assert parse_yaml(f"a: {2**63 - 1}")["a"] == 2**63 - 1
    assert len(parse_yaml("[" + "1," * (MOST - 1) + "]")) == MOST - 1
    assert parse_yaml("a: &a {x: 1}\nb: {<<: *a, y: 2}\nc: [*a, *a]")["b"] == {"x": 1, "y": 2}


@pytest.mark.parametrize(
    "model",
    [
        {"name": "tau_resnet", "depth": 10**9 + 6, "norm": "batch"},
        {"name": "densenet", "depth": 3 * 10**6 + 4, "growth_rate": 12},
        {"name": "wrn", "depth": 28, "widening_factor": 10**6},
        {"name": "resnet", "depth": 20, "width": 10**6},
        {"name": "imagenet_resnet", "block": "basic", "blocks": [10**9]},
        {"name": "imagenet_resnet", "block": "basic", "blocks": [2] * 1000},
        {"name": "vgg", "layers": [1, 10**9], "widths": [8, 8]},
    ],
    ids=str,
)
def test_sizes_that_nobody_builds_are_refused_by_the_schema(model):
    with pytest.raises(UserError, match="is not allowed") as raised:
        build_network(model, facts("cifar10"), seed=0)
    assert len(str(raised.value)) < 300


SMALL = {
    "study": "a",
    "seeds": [0],
    "dataset": {"name": "digits"},
    "normalize": {"name": "computed"},
    "model": {"name": "tau_resnet", "depth": 8, "norm": "batch"},
    "augment": [],
    "loss": {"name": "cross_entropy"},
    "optimizer": {"name": "sgd", "lr": 0.1},
    "schedule": {"name": "cosine"},
    "train": {"epochs": 1, "batch_size": 32},
    "experiments": {"one": {}},
}


WIDE = {"name": "wrn", "depth": 16, "widening_factor": 4096, "width": 4096}


def test_a_network_larger_than_memory_is_refused_before_it_is_made():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UserError, match=r"parameters need at least .* GB of memory, and there are"):
        build_network(WIDE, facts("cifar10"), seed=0)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert (after - before) * (1 if sys.platform == "darwin" else 1024) < 500e6


def test_check_counts_gradients_and_momentum_too(monkeypatch):
    experiment = config.parse(SMALL).experiments["one"]
    parameters = sum(each.numel() for each in bound(experiment).network(facts("digits"), seed=0).parameters())
    monkeypatch.setattr("reslab.experiment.networks.memory_bytes", lambda: parameters * 23)
    bound(experiment).network(facts("digits"), seed=0)
    with pytest.raises(UserError, match=r"experiments.one: model: .* parameters need"):
        checked(experiment, facts("digits"))


def test_the_check_of_memory_draws_nothing():
    """The weights of a seed stay what they were."""
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    build_network(SMALL["model"], facts("digits"), seed=0)
    assert torch.equal(torch.rand(3), expected)


def test_the_memory_of_this_machine_is_known():
    assert 2**28 < environment.memory_bytes() < 2**50


NO_NAMES = [
    "",
    "-a",
    "_a",
    "a/b",
    "a.b",
    "a b",
    "ü",
    "a\n",
    "$(x)",
    "a" * 61,
    "x" * 100_000,
    "..",
    "~",
    20,
    1.5,
    None,
    True,
    ("a",),
]


@pytest.mark.parametrize("name", NO_NAMES, ids=lambda name: repr(name)[:20])
def test_what_is_no_name(name):
    with pytest.raises(UserError, match=r"not a name|not text in YAML") as raised:
        check_name(name, "experiments")
    assert len(str(raised.value)) < 300


@pytest.mark.parametrize("name", ["NA", "null", "020", "true", "nan", "1", "a" * 60, "0x10", "1e3", "no"])
def test_names_that_look_like_values_are_names(name):
    assert list(check_experiments({"experiments": {name: {}}})) == [name]


def test_names_that_are_one_folder_on_some_disks_are_refused():
    with pytest.raises(UserError, match="Base and base differ in capitals only"):
        check_experiments({"experiments": {"Base": {}, "base": {}}})


def test_a_file_of_terabytes_is_not_read(tmp_path):
    with (tmp_path / "params.yaml").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(UserError, match=r"1,099,511,627,776 bytes are too many: at most 200000 characters"):
        read_yaml(tmp_path / "params.yaml")
