"""What recording a step as a CUDA graph asks of it, as far as it shows without a GPU: no host in the loop, all state in place."""

from functools import partial

import pytest
import torch
from families import CASES
from small_runs import run
from this_torch import skip_if_weights_stay
from torch.utils._python_dispatch import TorchDispatchMode

from reslab.data.augment.draws import Draws, Keys
from reslab.data.augment.recipe import AUGMENTATIONS, MIXINGS
from reslab.experiment.assemble import Run
from reslab.training.batch_norm import CountedTogether
from reslab.training.casts import CastTogether
from reslab.training.execution.compiler import Compiled
from reslab.training.execution.cuda_graph import obstacle
from reslab.training.execution.trial import changes
from reslab.training.loop import set_rate
from reslab.training.optim.optimizers import OPTIMIZERS
from reslab.training.precision import PRECISIONS

CPU = torch.device("cpu")
REQUIRED = {"cutout": {"size": 4}, "dual_cutout": {"size": 4}, "pad_crop": {"padding": 2}}
BY_TORCHVISION = {"colour_jitter", "trivial_augment", "rand_augment"}  # image by image, its choices on the host
HOST = torch.ops.aten
WAITING = {HOST._local_scalar_dense, HOST.nonzero, HOST.masked_select, HOST._unique2, HOST.lift_fresh}


class NoHost(TorchDispatchMode):
    """Refuse what on a GPU would make the host wait, or the device wait for values of the host's."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        packet = function.overloadpacket
        by_mask = packet in (HOST.index, HOST.index_put_) and any(i is not None and i.dtype == torch.bool for i in args[1])
        assert packet not in WAITING and not by_mask, f"{packet} needs the host"
        return function(*args, **(kwargs or {}))


def steps_without_host(made: Run) -> None:
    step = made.step()
    step.batches.keep_keys()
    step.rule.batch_norm.train(step.model)
    for _ in range(2):  # the first one makes lazy state
        step.batches.begin(1)
        set_rate(step.optimizer, 1.0)
        step(16)
    step.batches.begin(1)
    with NoHost():
        step(16)
    assert step.sums[0].isfinite()


@pytest.mark.parametrize(("name", "options"), CASES)
def test_no_family_needs_the_host(name, options):
    side = 64 if name.startswith("imagenet") else 32
    steps_without_host(run(model={"name": name} | options, side=side))


@pytest.mark.parametrize("name", sorted(AUGMENTATIONS | MIXINGS))
def test_no_augmentation_of_ours_needs_the_host(name):
    made = run(augment=[{"name": name} | REQUIRED.get(name, {})])
    if name not in BY_TORCHVISION:
        return steps_without_host(made)
    with pytest.raises(AssertionError, match="needs the host"):
        steps_without_host(made)
    return None


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_needs_no_host_or_is_refused_by_name(name):
    made = run(optimizer={"name": name, "lr": 0.01} | ({"rule": "hysts"} if name == "lars" else {}))
    refused = obstacle(made.step())
    assert (refused is None) == (name not in ("adagrad", "adabound"))
    if refused:
        assert type(made.optimizer).__name__ in refused
    elif name not in ("rmsprop", "adadelta"):  # torch lets them count on the device only if it is a GPU
        steps_without_host(made)


@pytest.mark.parametrize(
    "train",
    [{"precision": name} for name in PRECISIONS if name != "float16"]
    + [
        {"ghost_batch_size": 8},
        {"gradient_clip": 0.5},
        {"ema": 0.9},
        {"replacement": True},
        {"batch_norm": {"frozen": True}},
        {"batch_norm": {"momentum": 0.5, "reset": "epoch"}},
    ],
    ids=str,
)
def test_no_rule_needs_the_host(train):
    skip_if_weights_stay(train.get("precision", "float32"))
    made = run(train=train)
    assert obstacle(made.step()) is None
    steps_without_host(made)


def test_what_needs_the_host_is_refused_by_name():
    assert "cumulative" in obstacle(run(train={"batch_norm": {"momentum": "cumulative"}}).step())
    lars = run(optimizer={"name": "lars", "lr": 0.1, "rule": "hysts"}, train={"precision": "float16"})
    assert "loss scale" in obstacle(lars.step())


def test_no_scoring_needs_the_host():
    for step in run().scoring_steps().values():
        step.model.eval()
        for size in step.batches.begin(1):
            with NoHost():
                step(size)


def test_a_skipped_first_step_leaves_no_momentum():
    """Torch's own momentum is unset memory then."""
    made = run(train={"precision": "float16"})
    made.rule.scaler.load_state_dict(made.rule.scaler.state_dict() | {"scale": 2.0**60})
    step = made.step()
    step.rule.batch_norm.train(step.model)
    for size in step.batches.begin(1)[:1]:
        step(size)
    assert made.rule.scaler.get_scale() < 2.0**60
    assert all(not state["momentum_buffer"].any() for state in made.optimizer.state.values())


def test_kept_keys_draw_the_same_numbers():
    index, keys = torch.arange(1000), Keys((1 << 62) + 5, CPU)
    for epoch in (0, 1, 200):
        keys.begin(epoch)
        made, kept = (Draws(keys.seed, epoch, "flip", index, *given) for given in ((), (keys,)))
        for draw in (lambda d: d.uniform("x"), lambda d: d.uniforms("x", 3), lambda d: d.at("batch").substream("s").seeds("x")):
            assert torch.equal(draw(made), draw(kept))


@pytest.mark.parametrize("name", sorted((AUGMENTATIONS | MIXINGS).keys() - BY_TORCHVISION))
def test_compiled_batches_are_the_same(name, monkeypatch):
    torch.compiler.reset()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager", fullgraph=True))
    batches = run(augment=[{"name": "flip"}, {"name": name} | REQUIRED.get(name, {})]).batches
    batches.keep_keys()
    plain = next(batches.iterate(1))
    batches.compile()
    compiled = next(batches.iterate(1))
    assert torch.equal(plain[0], compiled[0])
    targets = [(batch[1],) if isinstance(batch[1], torch.Tensor) else batch[1] for batch in (plain, compiled)]
    assert all(torch.equal(a, b) for a, b in zip(*targets, strict=True))


def test_all_seeds_share_what_was_compiled(monkeypatch):
    """Else the compiler would give up after eight of them, without a word."""
    compiled = []

    def backend(graph, inputs):
        compiled.append(graph)
        return graph

    torch.compiler.reset()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend))
    for seed in range(10):
        made = run(seed=seed)
        step = made.step()
        step.rule.batch_norm.train(step.model)
        step.batches.keep_keys()
        step.batches.begin(1)
        step(16)  # as the trial does: it makes the keys
        step.forms.network = Compiled(step.model, 16)
        step.batches.compile()
        step.batches.begin(1)
        step(16)
        assert len(compiled) == 2


def test_weights_cast_together_give_the_same_bits():
    step = run(train={"precision": "bfloat16"}).step()
    step.rule.batch_norm.train(step.model)
    found = []
    for casts in (None, CastTogether(step.model, torch.bfloat16)):
        step.casts = casts
        step.batches.begin(1)
        found.append(changes(step, step))
    assert all(torch.equal(a, b) for kind in found[0] for a, b in zip(found[0][kind], found[1][kind], strict=True))


def test_batch_norms_counted_together_have_the_same_counts():
    plain, together = run(train={"ghost_batch_size": 8}).step(), run(train={"ghost_batch_size": 8}).step()
    together.counted = CountedTogether(together.model)
    for step in (plain, together):
        for size in step.begin_epoch(1):
            step(size)
    other = together.model.state_dict()
    assert all(torch.equal(value, other[name]) for name, value in plain.model.state_dict().items())
    assert any(name.endswith("num_batches_tracked") and value > 1 for name, value in other.items())


def test_batch_norms_that_have_counted_before_count_on_as_a_recording_does():
    """After a checkpoint: what a trial compares is the change, which a replayed graph has and a plain step."""
    step = run().step()
    step.counted = CountedTogether(step.model)
    step.counted.counts.fill_(100)
    step.rule.batch_norm.train(step.model)
    step.batches.begin(1)
    plain = changes(step, step)["counts"]
    recorded = changes(step, lambda size: step.counted.counts.add_(1))["counts"]
    assert [int(change) for change in plain] == [int(change) for change in recorded]
    assert {int(change) for change in plain} == {2 * len(set(step.batches.batch_sizes))}  # at two rates
