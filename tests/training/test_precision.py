"""Number formats of a run: losses, weights and loss scale."""

import copy
from typing import get_args

import pytest
import torch
from feeds import Given
from test_step import LOSS, batch, gradient
from this_torch import skip_if_weights_stay
from torch import nn
from whole_runs import score

from reslab.config.train import Train
from reslab.models import MODELS
from reslab.training.ema import WeightAverage
from reslab.training.optim.optimizers import sgd
from reslab.training.precision import PRECISIONS
from reslab.training.step import StepRule, train_step


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
    skip_if_weights_stay(precision)
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
