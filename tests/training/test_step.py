"""The step's options, each against what it stands for: chunks, clipping, views, precision, batch norm rules, averages."""

import copy
from typing import get_args

import pytest
import torch
from feeds import Given
from torch import nn
from torch.nn import functional as F
from whole_runs import fit, score

from reslab.config.train import Train
from reslab.experiment.bound import make_schedule
from reslab.models import MODELS
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


def preact() -> nn.Module:
    torch.manual_seed(0)
    return MODELS["preact_resnet"](3, 4, depth=8).to(memory_format=torch.channels_last)


def losses(precision: str, steps: int = 20) -> list[float]:
    """The losses of real steps on four batches, seen again and again."""
    model, numbers = preact(), PRECISIONS[precision]
    numbers.convert(model)
    optimizer = sgd(model, lr=0.05, momentum=0.9)
    rule = StepRule(precision=numbers, scaler=torch.amp.GradScaler("cpu", enabled=numbers.scales_loss))
    data = [batch(16, seed, numbers.images) for seed in range(4)]
    rule.batch_norm.begin_epoch(model)
    return [train_step(model, data[number % 4], LOSS, optimizer, rule)[0].item() for number in range(steps)]


@pytest.fixture(scope="module")
def exact() -> list[float]:
    return losses("float64")


# Measured: float32 2e-7, bfloat16 0.011, float16 0.009, pure_bfloat16 0.012, pure_float16 0.007; the losses fall from 1.38 to 0.16.
BOUNDS = {"float32": 1e-5, "tf32": 1e-5, "bfloat16": 0.05, "float16": 0.05, "pure_bfloat16": 0.05, "pure_float16": 0.05}


@pytest.mark.parametrize("precision", BOUNDS)
def test_losses_of_20_steps_stay_by_those_in_float64(precision, exact):
    found = losses(precision)
    assert max(abs(a - b) for a, b in zip(found, exact, strict=True)) < BOUNDS[precision]
    assert exact[-1] < 0.2 * exact[0]
    if precision != "tf32":  # on a CPU it is float32
        assert found != exact
    if precision not in ("tf32", "float32"):
        assert found != losses("float32")


@pytest.mark.parametrize("precision", PRECISIONS)
def test_losses_see_float32_or_better_and_weights_are_what_the_precision_says(precision):
    model, numbers, seen = preact(), PRECISIONS[precision], []
    numbers.convert(model)

    def loss(logits, labels):
        seen.append(logits.dtype)
        return LOSS(logits, labels)

    rule = StepRule(precision=numbers, scaler=torch.amp.GradScaler("cpu", enabled=numbers.scales_loss))
    value, errors = train_step(model, batch(dtype=numbers.images), loss, sgd(model, lr=0.1), rule)
    score(model, Given(lambda epoch: [batch(dtype=numbers.images)]), loss, precision=numbers)
    assert set(seen) == {torch.float64 if precision == "float64" else torch.float32}
    assert value.dtype == errors.dtype == torch.float64
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    assert {module.weight.dtype for module in norms} == {module.running_var.dtype for module in norms} == {numbers.images}
    assert model.stem.conv.weight.dtype == model.fc.weight.dtype == numbers.weights


def test_evaluation_is_in_the_training_precision():
    seen = []
    model = preact()
    model.fc.register_forward_hook(lambda module, arguments, output: seen.append(output.dtype))
    score(model, Given(lambda epoch: [batch(dtype=torch.float32)]), LOSS, precision=PRECISIONS["bfloat16"])
    score(model, Given(lambda epoch: [batch(dtype=torch.float32)]), LOSS)
    assert seen == [torch.bfloat16, torch.float32]


def test_a_loss_scale_that_overflows_skips_the_step_and_halves():
    model = preact()
    before = [parameter.clone() for parameter in model.parameters()]
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**60)
    rule = StepRule(precision=PRECISIONS["float16"], scaler=scaler, gradient_clip=1.0)
    train_step(model, batch(dtype=torch.float32), LOSS, sgd(model, lr=0.1), rule)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert scaler.get_scale() == 2.0**59


def test_the_average_counts_a_skipped_step_as_one_that_changed_nothing():
    model = preact()
    rule = StepRule(
        precision=PRECISIONS["float16"],
        scaler=torch.amp.GradScaler("cpu", init_scale=1.0),
        average=WeightAverage(model, decay=0.8),
    )
    optimizer, data = sgd(model, lr=0.1), batch(dtype=torch.float32)
    train_step(model, data, LOSS, optimizer, rule)
    first = model.fc.weight.detach().clone()
    train_step(model, data, LOSS, optimizer, rule)
    second = model.fc.weight.detach().clone()
    rule.scaler.load_state_dict(rule.scaler.state_dict() | {"scale": 2.0**60})
    train_step(model, data, LOSS, optimizer, rule)
    assert not torch.equal(first, second)
    assert torch.equal(model.fc.weight, second)  # skipped
    once = 0.8 * first + 0.2 * second
    torch.testing.assert_close(rule.average.module.fc.weight, 0.8 * once + 0.2 * second)
    assert all(tensor.isfinite().all() for tensor in rule.average.module.state_dict().values())


def test_clipping_is_of_the_gradient_and_not_of_its_scaled_form():
    model = preact().double()
    rule = StepRule(gradient_clip=0.01, scaler=torch.amp.GradScaler("cpu", init_scale=1024.0))
    data, twin = batch(), copy.deepcopy(model)
    train_step(model, data, LOSS, sgd(model, lr=0.1), rule)
    train_step(twin, data, LOSS, sgd(twin, lr=0.1), StepRule(gradient_clip=0.01))
    assert gradient(model).norm() == pytest.approx(0.01, rel=1e-3)
    torch.testing.assert_close(gradient(model), gradient(twin), rtol=1e-9, atol=1e-12)


def test_precisions_of_the_configuration_are_those_there_are():
    assert list(get_args(Train.model_fields["precision"].annotation)) == list(PRECISIONS)


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
