"""Blocks that are computed again: the same bits, for less memory."""

import pytest
import torch
from families import CASES, build
from small_runs import run
from torch.autograd.graph import saved_tensors_hooks
from torch.nn import functional as F
from whole_runs import fit

from reslab.rng import advance
from reslab.runs.ranks import Ranks, apart
from reslab.training.execution.recompute import recompute_blocks
from reslab.training.shared_norm import share_statistics


def step(model, images) -> tuple[list[torch.Tensor], int]:
    """Gradients and buffers after a training pass, and the bytes it kept for the backward pass."""
    kept: dict[int, int] = {}

    def count(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    model.train()
    advance(model)
    with saved_tensors_hooks(count, lambda tensor: tensor):
        loss = F.cross_entropy(model(images), torch.arange(len(images)))
    loss.backward()
    return [*(parameter.grad for parameter in model.parameters()), *model.buffers()], sum(kept.values())


@pytest.mark.parametrize(("name", "options"), CASES)
def test_every_family_computes_the_same(name, options):
    torch.manual_seed(0)
    images = torch.randn(2, 3, 64, 64) if name.startswith("imagenet") else torch.randn(2, 3, 32, 32)
    models = []
    for _ in range(2):
        torch.manual_seed(1)
        models.append(build(name, options))
    recompute_blocks(models[1])
    plain, again = (step(model, images)[0] for model in models)
    assert all(torch.equal(a, b) for a, b in zip(plain, again, strict=True))


@pytest.mark.parametrize("train", [{}, {"ema": 0.9}, {"batch_norm": {"momentum": "cumulative"}}, {"ghost_batch_size": 8}], ids=str)
def test_a_whole_run_is_the_same(train):
    plain, again = run(train=train), run(train=train | {"recompute": True})
    losses = [[record.loss for record in fit(made.step(), made.schedule, made.budget)] for made in (plain, again)]
    assert losses[0] == losses[1]
    states = (made.result.state_dict() for made in (plain, again))
    assert all(torch.equal(a, b) for a, b in zip(*(state.values() for state in states), strict=True))


def test_a_block_that_is_computed_again_does_not_hold_the_one_before():
    """With batch norm over several processes, whose sums have an order: its number belongs to the first pass."""
    model, images = build("resnet", {"depth": 8}), torch.randn(2, 3, 8, 8)
    recompute_blocks(model)
    order = share_statistics(model, Ranks(0, 2))
    model.train()
    with apart(), order:
        loss = model(images).sum()
        last = order.last
        loss.backward()
        assert order.last is last
    assert order.last is order.first


def test_resnet_1202_at_batch_128_fits_into_16_gb():
    """He et al.'s deepest; what a pass keeps grows in proportion to the batch, so that two images tell."""
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():  # only what is kept counts here: thin, so that it is quick, and scaled up below
        thin, plain = (build("resnet", {"depth": 1202, "width": 2}, num_classes=10) for _ in range(2))
    recompute_blocks(thin)
    kept = {name: step(model, images)[1] for name, model in (("again", thin), ("plain", plain))}
    full = {name: bytes_kept * 8 * 128 / 2 for name, bytes_kept in kept.items()}  # 16 channels for 2, 128 images for 2
    weights = 4 * 4 * 19.4e6  # float32: weights, gradients, momentum, workspace
    assert full["again"] + weights < 16e9
    assert full["again"] < full["plain"] / 3
