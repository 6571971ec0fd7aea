"""Training on a GPU: every level, recipes, networks together, resuming, splits that are not on the device."""

from dataclasses import dataclass

import pytest
import torch
from small_runs import run
from whole_runs import InterruptAt, Never, train

from reslab.runs.shared_gpu import run_together
from reslab.training import checkpoint, loop
from reslab.training.execution import hardware, levels
from reslab.training.execution.executor import Executor
from reslab.training.log import Log
from reslab.training.optim.optimizers import OPTIMIZERS

pytestmark = [
    pytest.mark.filterwarnings("ignore:TensorFloat32"),  # the compiler advises it; a study decides
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
GPU = torch.device("cuda")
RUN_SIZE = levels.RunSize(10**6, 7, 80, 10**6)


@dataclass(frozen=True)
class Job:
    seed: int


@dataclass(frozen=True)
class Trained:
    losses: list[float]
    weights: dict[str, torch.Tensor]
    level: levels.ExecutionLevel
    scores: list


def train_network(job: Job, take_turn, done: dict[int, Trained], sections: dict, path=None, until: int | None = None) -> None:
    """A whole run, or up to step `until` and into the checkpoint at `path`; from there if it exists."""
    hardware.prepare(GPU, precision="float32", fast=False)
    made = run(seed=job.seed, device=GPU, **sections)
    step, log = made.step(), Log()
    if path is not None and path.exists():
        log = checkpoint.restore(path, step, made.schedule)
    launch, level = levels.choose_level(step, RUN_SIZE)
    scorers = [Executor(scored, levels.record_scoring(scored, level), take_turn) for scored in made.scoring_steps().values()]
    checkpointer = InterruptAt(path, step, made.schedule, log, until, within_epoch=True) if until else Never()
    train(step, made.schedule, made.budget, log, checkpointer=checkpointer, launch=launch, take_turn=take_turn)
    if log.position.step == until:
        return
    weights = {name: value.cpu() for name, value in made.result.state_dict().items()}
    losses, scores = [row["train_loss"] for row in log.history], [loop.evaluate(scorer) for scorer in scorers]
    done[job.seed] = Trained(losses, weights, level, scores)


def trained(level: str, monkeypatch, seeds=(0,), **sections) -> dict[int, Trained]:
    """Networks trained together at a level."""
    monkeypatch.setenv("RESLAB_ENGINE", level)
    done: dict[int, Trained] = {}
    jobs = [Job(seed) for seed in seeds]
    list(run_together(lambda job, turn: train_network(job, turn, done, sections), jobs, device=GPU))
    return done


def assert_close(one: Trained, other: Trained, tolerance: float) -> None:
    """Losses, weights and scores are the same up to rounding."""
    assert one.losses == pytest.approx(other.losses, rel=tolerance)
    for name, value in one.weights.items():
        torch.testing.assert_close(value, other.weights[name], rtol=tolerance, atol=tolerance, msg=name)
    for mine, theirs in zip(one.scores, other.scores, strict=True):
        assert mine.loss == pytest.approx(theirs.loss, rel=10 * tolerance)


def assert_equal(one: Trained, other: Trained) -> None:
    """The same bits."""
    assert one.losses == other.losses
    assert one.scores == other.scores
    assert all(torch.equal(value, other.weights[name]) for name, value in one.weights.items())


@pytest.mark.parametrize("level", levels.LEVELS)
def test_every_level_works_and_trains_as_eager_does(level, monkeypatch):
    found, plain = (trained(each, monkeypatch)[0] for each in (level, "eager"))
    assert found.level == levels.ExecutionLevel(level, {})
    assert_close(found, plain, 1e-2)


RECIPES = [{"optimizer": {"name": name, "lr": 0.01} | ({"rule": "hysts"} if name == "lars" else {})} for name in OPTIMIZERS]
RECIPES += [{"train": {"precision": name}} for name in ("float16", "bfloat16", "pure_bfloat16", "tf32", "float64")]
RECIPES += [{"train": train} for train in ({"ema": 0.9}, {"recompute": True}, {"ghost_batch_size": 8}, {"gradient_clip": 0.5})]
RECIPES += [{"train": {"precision": "float16"}, "optimizer": {"name": "adam", "lr": 0.01}}]
RECIPES += [{"train": {"evaluation": {"crops": "ten", "padding": 1}}}, {"augment": [{"name": "dual_cutout", "size": 4}]}]
RECIPES += [{"augment": [{"name": name}]} for name in ("mixup", "cutmix", "ricap")]
RECIPES += [{"model": {"name": "shake_shake", "depth": 8, "width": 4}}]


@pytest.mark.parametrize("sections", RECIPES, ids=str)
def test_every_recipe_is_recorded_or_says_why_not(sections, monkeypatch):
    if sections.get("augment", [{}])[0].get("name") in ("mixup", "cutmix", "ricap"):
        pytest.importorskip("scipy")  # quantiles of the beta distribution
    found, plain = (trained(each, monkeypatch, **sections)[0] for each in ("graph", "eager"))
    host = sections.get("optimizer", {}).get("name") in ("adagrad", "adabound")
    assert (found.level.level == "graph") != host
    assert host == ("on the host" in found.level.refused.get("graph", ""))
    assert_close(found, plain, 3e-2)


@pytest.mark.parametrize("level", ["graph+compile", "graph"])
def test_networks_together_are_bitwise_those_alone(level, monkeypatch):
    together = trained(level, monkeypatch, seeds=range(16), validation=True)
    for seed in (0, 7, 15):
        assert_equal(trained(level, monkeypatch, seeds=(seed,), validation=True)[seed], together[seed])


@pytest.mark.parametrize("until", [2, 3, 4])  # within an epoch of three steps, at its end, in the next
@pytest.mark.parametrize("pair", [("graph", "graph"), ("graph+compile", "graph+compile"), ("eager", "graph")])
def test_a_recorded_run_resumes(pair, until, monkeypatch, tmp_path):
    straight = trained(pair[1], monkeypatch)[0]
    done: dict[int, Trained] = {}
    for level, end in zip(pair, (until, None), strict=True):
        monkeypatch.setenv("RESLAB_ENGINE", level)
        list(run_together(lambda job, turn, end=end: train_network(job, turn, done, {}, tmp_path / "x", end), [Job(0)], device=GPU))
    (assert_equal if pair[0] == pair[1] else lambda a, b: assert_close(a, b, 1e-2))(done[0], straight)


def test_a_split_in_host_memory_gives_the_same_bits(monkeypatch):
    resident = trained("graph", monkeypatch)[0]
    monkeypatch.setenv("RESLAB_RESIDENT_GIB", "0")
    hosted = trained("graph", monkeypatch)[0]
    assert hosted.level.level == "graph"
    assert_equal(hosted, resident)


def test_a_step_that_waits_for_the_host_is_not_recorded(monkeypatch):
    pytest.importorskip("torchvision")
    found = trained("graph", monkeypatch, augment=[{"name": "trivial_augment"}])[0]
    assert found.level.level in ("compile", "eager")
    assert "synchroniz" in found.level.refused["graph"]
    assert torch.cuda.current_stream() == torch.cuda.default_stream()
