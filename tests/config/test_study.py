"""params.yaml: merging, and one line for each thing a user can get wrong."""

from pathlib import Path

import pytest
from project import SMALL_PARAMS

from reslab import config
from reslab.config.start import as_written
from reslab.config.train import Train
from reslab.errors import UserError

GOOD = """
study: test
seeds: [0, 1]
dataset: {name: digits}
normalize: {name: computed}
model: {name: tau_resnet, depth: 20, norm: batch, tau: 1.0}
augment: [{name: pad_crop, padding: 1}]
loss: {name: cross_entropy}
optimizer: {name: sgd, lr: 0.1, weight_decay: 1e-4}
schedule: {name: multistep, milestones: [2], factor: 0.1}
train: {epochs: 3, batch_size: 32}
experiments:
  base: {}
  tau: {model: {tau: 1/sqrt(L)}}
"""


def load(tmp_path: Path, text: str) -> config.Study:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    return config.load(path)


def test_scientific_notation_is_a_number(tmp_path):
    """PyYAML reads 1e-4 as a string; YAML 1.2, and DVC, as a number."""
    assert load(tmp_path, GOOD).experiments["base"].optimizer["weight_decay"] == pytest.approx(1e-4)


def test_experiments_are_the_sections_plus_their_own_lines(tmp_path):
    study = load(tmp_path, GOOD)
    assert study.experiments["base"].model == {"name": "tau_resnet", "depth": 20, "norm": "batch", "tau": 1.0}
    assert study.experiments["tau"].model == {"name": "tau_resnet", "depth": 20, "norm": "batch", "tau": "1/sqrt(L)"}
    assert study.experiments["tau"].train.batch_size == 32


@pytest.mark.parametrize(
    ("default", "change", "expected"),
    [
        ({"name": "a", "x": 1}, {"x": 2}, {"name": "a", "x": 2}),
        ({"name": "a", "x": 1}, {"y": 2}, {"name": "a", "x": 1, "y": 2}),
        ({"name": "a", "x": 1}, {"name": "b", "y": 2}, {"name": "b", "y": 2}),
        ({"name": "a", "x": 1}, {"name": "a", "y": 2}, {"name": "a", "x": 1, "y": 2}),
        (
            {"name": "a", "warmup": {"name": "l", "epochs": 5}},
            {"warmup": {"epochs": 1}},
            {"name": "a", "warmup": {"name": "l", "epochs": 1}},
        ),
        ([1, 2], [3], [3]),
        ({"epochs": 3, "batch_size": 8}, {"iterations": 9}, {"iterations": 9, "batch_size": 8}),
    ],
)
def test_merge(default, change, expected):
    assert config.merge(default, change) == expected


BAD = {
    "unknown top-level key": (GOOD + "scedule: {}\n", "unknown key 'scedule' (did you mean 'schedule'?)"),
    "missing section": (GOOD.replace("loss: {name: cross_entropy}\n", ""), "missing key 'loss'"),
    "unknown key in an experiment": (GOOD.replace("base: {}", "base: {modle: {}}"), "experiments.base: unknown key 'modle'"),
    "wrong type": (GOOD.replace("batch_size: 32", "batch_size: many"), "train.batch_size: 'many' is not allowed"),
    "zero epochs": (GOOD.replace("epochs: 3", "epochs: 0"), "train.epochs: 0 is not allowed"),
    "both budgets": (GOOD.replace("epochs: 3", "epochs: 3, iterations: 9"), "train: give exactly one of epochs, iterations"),
    "ghost batch above the batch": (
        GOOD.replace("batch_size: 32", "batch_size: 32, ghost_batch_size: 64"),
        "train: ghost_batch_size 64 is not allowed: at most batch_size, 32",
    ),
    "clipping to nothing": (GOOD.replace("batch_size: 32", "batch_size: 32, gradient_clip: 0"), "train.gradient_clip: 0 is not"),
    "average that never moves": (GOOD.replace("batch_size: 32", "batch_size: 32, ema: 1.0"), "train.ema: 1.0 is not allowed"),
    "average in 16 bits": (
        GOOD.replace("batch_size: 32", "batch_size: 32, ema: 0.9, precision: pure_bfloat16"),
        "train: ema with precision pure_bfloat16 is not allowed",
    ),
    "unknown precision": (GOOD.replace("batch_size: 32", "batch_size: 32, precision: fp16"), "train.precision: 'fp16' is not"),
    "momentum of batch norm": (
        GOOD.replace("batch_size: 32", "batch_size: 32, batch_norm: {momentum: 1.5}"),
        "train.batch_norm.momentum: 1.5 is not allowed",
    ),
    "frozen statistics that are reset": (
        GOOD.replace("tau: {model", "tau: {train: {batch_norm: {frozen: true, reset: epoch}}, model"),
        "experiments.tau.train: batch_norm that is frozen keeps no statistics",
    ),
    "misspelt batch norm": (
        GOOD.replace("batch_size: 32", "batch_size: 32, batch_norm: {momentun: 0.1}"),
        "train.batch_norm: unknown key 'momentun' (did you mean 'momentum'?); allowed: ",
    ),
    "empty seeds": (GOOD.replace("[0, 1]", "[]"), "seeds: [] is not allowed"),
    "repeated seed": (GOOD.replace("[0, 1]", "[1, 1]"), "seeds: [1, 1] is not allowed"),
    "seed of the wrong type": (GOOD.replace("[0, 1]", "[0, x]"), "seeds[1]: 'x' is not allowed"),
    "no experiments": (GOOD.split("experiments:", maxsplit=1)[0] + "experiments: {}\n", "experiments: expected at least one"),
    "duplicate experiment": (GOOD + "  base: {}\n", 'duplicate key "base"'),
    "seed as text": (GOOD.replace("[0, 1]", "['0']"), "seeds[0]: '0' is not allowed"),
    "seed as a fraction": (GOOD.replace("[0, 1]", "[0.0]"), "seeds[0]: 0.0 is not allowed"),
    "seed as a truth": (GOOD.replace("[0, 1]", "[true]"), "seeds[0]: True is not allowed"),
    "validation as a truth": (GOOD.replace("{name: digits}", "{name: digits, validation: true}"), "dataset.validation: True"),
    "experiment that is an empty list": (GOOD.replace("base: {}", "base: []"), "experiments.base: expected sections"),
    "report that is a list": (GOOD + "report: []\n", "report"),
    "huge batch": (GOOD.replace("batch_size: 32", "batch_size: 1e30"), "train.batch_size: 1e+30 is not allowed"),
    "published above 100 %": (GOOD + "report: {published: {base: {error: 875, source: x}}}\n", "report.published.base.error: 875"),
    "augment that is nothing": (GOOD.replace("[{name: pad_crop, padding: 1}]", "null"), "augment: None is not allowed"),
    "experiment that is no mapping": (GOOD.replace("base: {}", "base: 3"), "experiments.base: expected sections"),
    "experiment name that is no name": (GOOD.replace("base: {}", "../base: {}"), "'../base' is not a name"),
    "section without a name": (GOOD.replace("{name: cross_entropy}", "{}"), "loss: expected `{name: ..., options}`"),
    "published for nobody": (GOOD + "report: {published: {bas: {error: 1, source: x}}}\n", "report.published: unknown name 'bas'"),
    "published misspelt": (
        GOOD + "report: {published: {base: {eror: 1, source: x}}}\n",
        "report.published.base: unknown key 'eror' (did you mean 'error'?)",
    ),
    "negative validation": (GOOD.replace("{name: digits}", "{name: digits, validation: -1}"), "dataset.validation: -1"),
    "a list": ("- 1\n", "expected a mapping"),
    "not YAML": ("a: [1,\nb: {", "line "),
    "empty": ("", "expected a mapping"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_params_give_one_line_with_the_place(tmp_path, name):
    text, expected = BAD[name]
    with pytest.raises(UserError) as caught:
        load(tmp_path, text)
    message = str(caught.value)
    assert expected in message
    assert message.startswith(str(tmp_path / "params.yaml"))
    assert "\n" not in message


def test_numbers_stand_where_the_report_says_unless_they_say_otherwise(tmp_path):
    report = "report: {source: a table, published: {base: {error: 5.0, runs: 3}, tau: {error: 4.0, source: a chart}}}\n"
    published = load(tmp_path, GOOD + report).report.published
    assert (published["base"].source, published["tau"].source) == ("a table", "a chart")
    with pytest.raises(UserError, match=r"report\.published\.base: missing key 'source'"):
        load(tmp_path, GOOD + "report: {published: {base: {error: 5.0}}}\n")


def test_missing_file(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        config.load(tmp_path / "params.yaml")


def test_unknown_experiment_names_the_others(tmp_path):
    with pytest.raises(UserError, match="allowed: base, tau"):
        load(tmp_path, GOOD).experiment("taau")


@pytest.mark.parametrize(
    ("images", "train", "steps", "per_epoch"),
    [
        (100, {"epochs": 2, "batch_size": 32}, 8, 4),
        (100, {"epochs": 2, "batch_size": 32, "drop_last": True}, 6, 3),
        (96, {"epochs": 2, "batch_size": 32}, 6, 3),
        (100, {"iterations": 5, "batch_size": 32}, 5, 4),
    ],
)
def test_budget_in_steps(images, train, steps, per_epoch):
    budget = Train(**train)
    assert (budget.steps(images), budget.steps_per_epoch(images)) == (steps, per_epoch)


def test_what_dvc_cannot_read_is_said_with_the_mend(tmp_path):
    """Within braces YAML 1.1 ends a text at its colon; we read 1.2, so DVC alone would fail, without a mend."""
    path = tmp_path / "params.yaml"
    path.write_text(SMALL_PARAMS.replace("plain-tau: {}", "plain-tau: {model: {name: my_nets:Net}}"))
    with pytest.raises(UserError, match=r"line \d+, column \d+: DVC cannot read this .*; put the text there in quotes"):
        config.load(path)
    path.write_text(SMALL_PARAMS.replace("plain-tau: {}", "plain-tau: {model: {name: 'my_nets:Net'}}"))
    assert config.load(path).experiments["plain-tau"].model["name"] == "my_nets:Net"


@pytest.mark.parametrize("start", [None, "data/imported/a", {"path": "data/imported/a", "sha256": "0" * 64}])
def test_sections_and_their_record_are_the_same_whatever_checksum_was_found(start):
    written = {"model": {"name": "resnet"} | ({"init_from": start} if start else {}), "augment": ()}
    recorded = {"model": {"name": "resnet"} | ({"init_from": {"path": "data/imported/a", "sha256": "1" * 64}} if start else {})}
    assert as_written(written) == as_written(recorded | {"augment": []})
    assert as_written(written) != as_written({"model": {"name": "resnet", "init_from": "data/imported/b"}, "augment": []})


def test_an_edit_of_what_was_loaded_is_noticed(tmp_path):
    before = load(tmp_path, GOOD)
    path = tmp_path / "params.yaml"
    config.check_still(path, before, lambda now: now)
    path.write_text(GOOD.replace("[0, 1]", "[0, 1, 2]"))
    config.check_still(path, before, lambda now: (now.dataset, now.experiment("tau").sections))
    for part in (lambda now: now, lambda now: now.seeds):
        with pytest.raises(UserError, match=r"params\.yaml: was edited while this stage ran; run `dvc repro` again"):
            config.check_still(path, before, part)
