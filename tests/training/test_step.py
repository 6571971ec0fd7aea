"""The step's options, each against what it stands for: chunks, clipping, views, precision, batch norm rules, averages."""

import copy

import pytest
import torch
from feeds import Given
from torch import nn
from torch.nn import functional as F
from whole_runs import fit, score

from reslab.experiment.bound import make_schedule
from reslab.rng import NetworkDraws
from reslab.targets import MixedTargets
from reslab.training.batch_norm import BatchNormRule
from reslab.training.ema import WeightAverage
from reslab.training.losses import cross_entropy
from reslab.training.optim.optimizers import sgd
from reslab.training.precision import PRECISIONS, forward
from reslab.training.schedule.budget import Budget
from reslab.training.step import StepRule, TrainingStep, train_step

LOSS = cross_entropy()
CONSTANT = make_schedule({"name": "constant"}, Budget(100, 1))


def batch(size: int = 10, seed: int = 0, dtype=torch.float64) -> tuple:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(size, 3, 8, 8, generator=generator, dtype=torch.float64).to(dtype)
    return images, torch.randint(4, (size,), generator=generator)


def network(norm: bool = True) -> nn.Module:
    torch.manual_seed(0)
    layer = nn.BatchNorm2d(5) if norm else nn.Identity()
    return nn.Sequential(nn.Conv2d(3, 5, 3), layer, nn.ReLU(), nn.Flatten(), nn.Linear(180, 4)).double()


def gradient(model: nn.Module) -> torch.Tensor:
    return torch.cat([parameter.grad.flatten() for parameter in model.parameters()])


def step(model: nn.Module, data: tuple, **rule) -> tuple[float, float]:
    loss, errors = train_step(model, data, LOSS, sgd(model, lr=0.0), StepRule(**rule))
    return loss.item(), errors.item()


@pytest.mark.parametrize("size", [1, 3, 4, 5, 9])
def test_without_batch_norm_the_chunks_give_the_whole_batchs_gradient(size):
    """Also where the last chunk is smaller: 10 images in chunks of 3, 4 and 9."""
    whole, chunked = network(norm=False), network(norm=False)
    assert step(whole, batch()) == pytest.approx(step(chunked, batch(), ghost_batch_size=size), rel=1e-12)
    torch.testing.assert_close(gradient(chunked), gradient(whole), rtol=1e-12, atol=1e-15)


def test_ghost_batches_have_their_own_statistics_and_the_mean_loss():
    """The gradient is that of the mean over images, 4 + 4 + 2 of them; running statistics take in one chunk after the other."""
    model, expected = network(), network().train()
    images, labels = batch()
    loss, errors = step(model, (images, labels), ghost_batch_size=4)
    chunks = list(zip(images.split(4), labels.split(4), strict=True))
    logits = torch.cat([expected(part) for part, _ in chunks])
    value = LOSS(logits, labels)
    value.backward()
    assert (loss, errors) == (pytest.approx(value.item(), rel=1e-12), (logits.argmax(1) != labels).sum().item())
    torch.testing.assert_close(gradient(model), gradient(expected), rtol=1e-10, atol=1e-14)
    mean = torch.zeros(5, dtype=torch.float64)
    for part, _ in chunks:
        mean = 0.9 * mean + 0.1 * expected[0](part).mean((0, 2, 3))
    torch.testing.assert_close(model[1].running_mean, mean, rtol=1e-12, atol=1e-14)
    assert model[1].num_batches_tracked == 3
    whole = network()
    assert step(whole, batch())[0] != pytest.approx(loss, rel=1e-3)


def test_mixed_targets_are_cut_with_their_images():
    images, labels = batch()
    weights = torch.tensor([0.75, 0.25], dtype=torch.float64).expand(10, 2)
    mixed = MixedTargets(torch.stack([labels, labels.roll(1)], 1), weights)
    seen = []

    def loss(logits, targets):
        seen.append(targets.labels)
        return sum(
            (w * F.cross_entropy(logits, k, reduction="none")).mean() for k, w in zip(*(part.T for part in targets), strict=True)
        )

    model = network()
    chunks = StepRule(ghost_batch_size=4)
    train_step(model, (images, mixed), loss, sgd(model, lr=0.1), chunks)
    assert [len(part) for part in seen] == [4, 4, 2]
    assert torch.equal(torch.cat(seen), mixed.labels)


@pytest.mark.parametrize("ghost", [None, 3])
def test_clipping_bounds_the_norm_of_the_whole_gradient(ghost):
    free, clipped, loose = network(norm=False), network(norm=False), network(norm=False)
    step(free, batch())
    norm = gradient(free).norm().item()
    step(clipped, batch(), gradient_clip=norm / 4, ghost_batch_size=ghost)
    step(loose, batch(), gradient_clip=norm * 1.01, ghost_batch_size=ghost)
    torch.testing.assert_close(gradient(clipped), gradient(free) / 4, rtol=1e-5, atol=1e-12)  # torch adds 1e-6 to the norm
    torch.testing.assert_close(gradient(loose), gradient(free), rtol=1e-12, atol=1e-15)


def test_views_are_passes_of_their_own():
    model = network().train()
    views = torch.stack([batch(seed=seed)[0] for seed in (0, 1)], 1)
    logits = forward(copy.deepcopy(model), views, PRECISIONS["float64"])
    assert logits.shape == (10, 2, 4)
    for view in (0, 1):
        torch.testing.assert_close(logits[:, view], model(views[:, view]), rtol=1e-12, atol=1e-14)


class Noisy(nn.Module):
    """A layer with random numbers, that remembers the step of each pass."""

    def __init__(self):
        super().__init__()
        self.draws, self.linear, self.steps = NetworkDraws(), nn.Linear(192, 4).double(), []

    def forward(self, x):
        self.steps.append(self.draws.step.item())
        return self.linear(x.flatten(1))


def test_every_training_pass_has_new_random_numbers_and_evaluation_takes_none():
    model = Noisy()
    views = torch.stack([batch(seed=seed)[0] for seed in (0, 1)], 1)
    train_step(model, batch(), LOSS, sgd(model, lr=0.1), StepRule(ghost_batch_size=4))
    forward(model, views, PRECISIONS["float64"])
    assert model.steps == [1, 2, 3, 4, 5]
    score(model, Given(lambda epoch: [batch()]), LOSS)
    assert model.steps[-1] == 5


def run(model: nn.Module, rule: StepRule, epochs: int = 1, steps: int = 3) -> list:
    """Train by the rule; epoch e has the batches e * 10, e * 10 + 1, ..."""
    data = Given(lambda epoch: [batch(seed=10 * epoch + number) for number in range(steps)])
    return fit(TrainingStep(model, sgd(model, lr=0.0), LOSS, data, rule), CONSTANT, Budget(epochs * steps, steps))


def means(model: nn.Module, epoch: int, steps: int = 3) -> torch.Tensor:
    """The mean of each channel before batch norm, one row a step; the weights do not move."""
    return torch.stack([model[0](batch(seed=10 * epoch + number)[0]).mean((0, 2, 3)) for number in range(steps)]).detach()


def test_momentum_one_keeps_the_last_batch():
    model = network()
    rule = BatchNormRule(momentum=1.0)
    rule.prepare(model)
    run(model, StepRule(batch_norm=rule))
    torch.testing.assert_close(model[1].running_mean, means(model, 1)[-1], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("reset", "epochs_in"), [("never", [1, 2]), ("epoch", [2])])
def test_cumulative_statistics_are_the_mean_since_the_reset(reset, epochs_in):
    model = network()
    rule = BatchNormRule(momentum="cumulative", reset=reset)
    rule.prepare(model)
    run(model, StepRule(batch_norm=rule), epochs=2)
    expected = torch.cat([means(model, epoch) for epoch in epochs_in]).mean(0)
    torch.testing.assert_close(model[1].running_mean, expected, rtol=1e-10, atol=1e-13)


def test_frozen_statistics_are_used_and_never_change():
    model = network()
    model[1].running_mean += 0.3
    before = copy.deepcopy(model)
    (record,) = run(model, StepRule(batch_norm=BatchNormRule(frozen=True)), steps=1)
    images, labels = batch(seed=10)
    assert record.loss == pytest.approx(LOSS(before.eval()(images), labels).item(), rel=1e-12)
    assert torch.equal(model[1].running_mean, before[1].running_mean)
    assert model[1].weight.grad.abs().sum() > 0


def test_the_average_follows_its_formula_with_buffers_and_leaves_whole_numbers_alone():
    model = nn.Sequential(network(), nn.Identity())
    model[1].draws = NetworkDraws()
    rule = StepRule(average=WeightAverage(model, decay=0.8))
    optimizer = sgd(model, lr=0.1)
    expected = None
    for number in range(5):
        train_step(model, batch(seed=number), LOSS, optimizer, rule)
        now = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        floats = [name for name, tensor in now.items() if tensor.is_floating_point()]
        expected = now if expected is None else now | {name: 0.8 * expected[name] + 0.2 * now[name] for name in floats}
    found = rule.average.module.state_dict()
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-12, atol=1e-14)
    assert found["1.draws.step"] == 5
    assert found["1.draws.key"] == model[1].draws.key
    assert not torch.equal(found["0.0.weight"], model[0][0].weight)
