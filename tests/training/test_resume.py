"""N epochs and k + (N - k) epochs with a checkpoint between give the same bits, for all that a run carries from step to step."""

import numpy as np
import pytest
import torch
import whole_runs
from this_torch import skip_if_weights_stay
from whole_runs import InterruptAt, score

from reslab import config
from reslab.data.prepared import Prepared
from reslab.data.prepared.splits import Arrays
from reslab.experiment.assemble import Run, assemble
from reslab.experiment.bound import bound
from reslab.training import checkpoint
from reslab.training.evaluation import ScoringStep
from reslab.training.execution.executor import Executor
from reslab.training.log import Log
from reslab.training.step import TrainingStep

SECTIONS = {
    "normalize": {"name": "constants", "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]},
    "model": {"name": "preact_resnet", "depth": 8},
    "augment": [{"name": "flip"}],
    "loss": {"name": "cross_entropy"},
    "optimizer": {"name": "sgd", "lr": 0.05, "momentum": 0.9, "weight_decay": 1e-4},
    "schedule": {"name": "cosine"},
    "train": {"epochs": 4, "batch_size": 16},
}

STEPS_PER_EPOCH = 3

RECIPES = {
    "plain": {},
    "adam": {"optimizer": {"name": "adam", "lr": 0.01, "amsgrad": True}},
    "adamw": {"optimizer": {"name": "adamw", "lr": 0.01, "weight_decay": 0.01, "no_decay": ["batch_norm", "bias"]}},
    "rmsprop": {"optimizer": {"name": "rmsprop", "lr": 0.01, "momentum": 0.5, "centered": True}},
    "adagrad": {"optimizer": {"name": "adagrad", "lr": 0.01, "lr_decay": 0.01}},
    "adadelta": {"optimizer": {"name": "adadelta"}},
    "lars": {"optimizer": {"name": "lars", "lr": 0.01, "rule": "hysts", "weight_decay": 1e-4}},
    "adabound": {"optimizer": {"name": "adabound", "lr": 0.01, "gamma": 0.1}},
    "float16": {"train": {"precision": "float16", "gradient_clip": 1.0}},
    "bfloat16": {"train": {"precision": "bfloat16"}},
    "pure_float16": {"train": {"precision": "pure_float16"}},
    "ema": {"train": {"ema": 0.8}},
    "cumulative batch norm": {"train": {"batch_norm": {"momentum": "cumulative"}}},
    "batch norm reset": {"train": {"batch_norm": {"momentum": "cumulative", "reset": "epoch"}}},
    "ghost batches": {"train": {"ghost_batch_size": 6}},
    "observed warm-up": {"schedule": {"name": "cosine", "warmup": {"name": "until_train_error", "every": 5, "below": 0.75}}},
    "random network": {"model": {"name": "shake_shake", "depth": 8, "width": 4}, "train": {"ghost_batch_size": 8}},
}


@pytest.fixture(scope="module")
def data() -> Prepared:
    generator = np.random.default_rng(0)
    train, test = (Arrays(generator.integers(0, 256, (count, 3, 8, 8), dtype=np.uint8), np.arange(count) % 4) for count in (40, 12))
    return Prepared(train, None, test, {"image_shape": [3, 8, 8], "class_names": list("abcd")})


def start(name: str, data: Prepared) -> Run:
    sections = {key: config.merge(default, RECIPES[name].get(key, {})) for key, default in SECTIONS.items() if key != "augment"}
    experiment = config.from_sections(name, sections | {"augment": SECTIONS["augment"]})
    return assemble(bound(experiment), data, seed=0, device=torch.device("cpu"))


def train(run: Run, log: Log, path, until: int, step: TrainingStep | None = None) -> Log:
    """Train from where the log stands; a checkpoint after step `until`."""
    step = step or run.step()
    checkpointer = InterruptAt(path, step, run.schedule, log, until, within_epoch=until % STEPS_PER_EPOCH > 0)
    scoring = ScoringStep(run.result, run.held_out["test"], run.loss, precision=run.rule.precision)
    scorers = {"test": Executor(scoring)}
    return whole_runs.train(step, run.schedule, run.budget, log, checkpointer=checkpointer, scorers=scorers)


@pytest.mark.parametrize("until", [6, 7])  # after an epoch, within one
@pytest.mark.parametrize("name", RECIPES)
def test_resume_is_bitwise_the_uninterrupted_run(name, until, data, tmp_path):
    skip_if_weights_stay(RECIPES[name].get("train", {}).get("precision", "float32"))
    whole, first, second = (start(name, data) for _ in range(3))
    straight = train(whole, Log(), tmp_path / "whole", until=12)
    train(first, Log(), tmp_path / "half", until=until)
    step = second.step()
    log = checkpoint.restore(tmp_path / "half", step, second.schedule)
    log = train(second, log, tmp_path / "rest", until=12, step=step)
    assert (log.position.step, log.history) == (12, straight.history)
    assert log.history[0]["train_loss"] != log.history[-1]["train_loss"]
    states = [torch.load(tmp_path / part, weights_only=True) for part in ("whole", "rest")]
    assert_equal(*(state | {"log": None} for state in states))


def assert_equal(one, other) -> None:
    """Equal in structure and in every bit."""
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_equal(one[key], other[key])
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            assert_equal(a, b)
    elif isinstance(one, torch.Tensor):
        assert one.dtype == other.dtype
        assert torch.equal(one, other)
    else:
        assert one == other


def test_a_run_does_what_its_train_section_says(data):
    plain, ghosts, resets, half = (start(name, data) for name in ("plain", "ghost batches", "batch norm reset", "float16"))
    assert (plain.rule.precision.name, plain.rule.ghost_batch_size, plain.rule.gradient_clip) == ("float32", None, None)
    assert plain.rule.average is None
    assert not plain.rule.scaler.is_enabled()
    assert ghosts.rule.ghost_batch_size == 6
    assert (half.rule.precision.name, half.rule.gradient_clip, half.rule.scaler.is_enabled()) == ("float16", 1.0, True)
    momenta = [
        {module.momentum for module in run.model.modules() if isinstance(module, torch.nn.BatchNorm2d)} for run in (plain, resets)
    ]
    assert momenta == [{0.1}, {None}]
    assert resets.rule.batch_norm.reset == "epoch"


def test_the_average_is_what_is_scored(data, tmp_path):
    run = start("ema", data)
    log = train(run, Log(), tmp_path / "x", until=12)
    assert run.result is not run.model
    scores = [score(network, run.held_out["test"], run.loss).loss for network in (run.result, run.model)]
    assert log.history[-1]["test_loss"] == scores[0] != scores[1]
