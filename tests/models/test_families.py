"""What every family must do, walked over the table of models."""

import copy
import io

import pytest
import torch
from families import CASES, SMALLEST, build, sizes
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from reslab.cost.forward_work import forward_work
from reslab.models import MODELS
from reslab.models.analysis.count import MultiplyAdds, count
from reslab.models.analysis.fingerprint import fill
from reslab.rng import NetworkDraws, advance

FIRST = [(name, SMALLEST[name][0]) for name in MODELS]


def images(name: str, *, batch: int = 4, channels: int = 3, size: int | None = None, dtype=torch.float32) -> torch.Tensor:
    size = size or sizes(name)[0]
    return torch.randn(batch, channels, size, size, generator=torch.Generator().manual_seed(0), dtype=dtype)


def is_stochastic(model: nn.Module) -> bool:
    """Whether a model declares random numbers of its own."""
    return any(isinstance(module, NetworkDraws) for module in model.modules())


STOCHASTIC = [case for case in CASES if is_stochastic(build(*case))]
COMPILED = FIRST + [case for case in STOCHASTIC if case not in FIRST]
OTHERS = ("resnet", "resnext", "se_preact_resnet", "vgg", "imagenet_tau_resnet")  # between them the remaining kinds of operation
TRACED_BACK = STOCHASTIC + [case for case in FIRST if case[0] in OTHERS]  # the backward pass is traced too, at twice the time


def freeze_batch_norm(model: nn.Module) -> nn.Module:
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    return model


def test_every_family_is_walked():
    assert list(SMALLEST) == list(MODELS)


@pytest.mark.parametrize(("name", "options"), FIRST)
def test_multiply_adds_are_half_of_torchs_operations(name, options):
    model, side = build(name, options).to("meta"), sizes(name)[0]
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        model.eval()(torch.empty(1, 3, side, side, device="meta"))
    assert count(model, (3, side, side))["multiply_adds"] == counter.get_total_flops() // 2


@pytest.mark.parametrize("training", [True, False])
def test_known_operations_are_counted_as_torch_runs_them(training, monkeypatch):
    model = build("tau_resnet", {"depth": 8}).to("meta")
    shortcut = forward_work(model, (3, 16, 16)) if training else count(model, (3, 16, 16))
    monkeypatch.setattr("reslab.models.analysis.count._known_outputs", lambda name, args: None)
    assert shortcut == (forward_work(model, (3, 16, 16)) if training else count(model, (3, 16, 16)))


def test_multiply_adds_of_operations_that_no_family_has():
    query = torch.empty(2, 4, 8, 16)
    x, transposed = torch.empty(2, 8, 5, 5), torch.nn.ConvTranspose2d(8, 6, 3)
    with torch.no_grad():
        for call in (lambda: torch.nn.functional.scaled_dot_product_attention(query, query, query), lambda: transposed(x)):
            ours, torchs = MultiplyAdds(), FlopCounterMode(display=False)
            with ours:
                call()
            with torchs:
                call()
            assert ours.multiply_adds == torchs.get_total_flops() // 2 > 0


@pytest.mark.parametrize(("name", "options"), CASES)
@pytest.mark.parametrize("size", [0, 1])
def test_gradient_reaches_every_parameter(name, options, size):
    model = build(name, options, in_channels=1 + 2 * size, num_classes=7)
    fill(model)  # no parameter is zero then: at initialisation a zero would rightly stop the gradient
    x = images(name, channels=1 + 2 * size, size=sizes(name)[size])
    for _ in range(50 if is_stochastic(model) else 1):  # a branch that is dropped now is kept another time
        advance(model)
        logits = model(x)
        logits.square().sum().backward()
        silent = [
            key for key, parameter in model.named_parameters() if parameter.grad is None or not parameter.grad.abs().sum() > 0
        ]
        if not silent:
            break
    assert logits.shape == (4, 7)
    assert not silent


@pytest.mark.parametrize(("name", "options"), CASES)
def test_training_differs_only_by_batch_statistics_and_declared_randomness(name, options):
    torch.manual_seed(0)
    model = build(name, options).double()
    x = images(name, dtype=torch.float64)
    with torch.no_grad():
        evaluated = model.eval()(x)
        trained = freeze_batch_norm(model.train())(x)
    if is_stochastic(model) and options.get("forward") != "even":  # then only the gradient is shaken
        assert not torch.allclose(trained, evaluated)
    else:
        torch.testing.assert_close(trained, evaluated, rtol=1e-12, atol=0)


@pytest.mark.parametrize(("name", "options"), CASES)
def test_evaluation_draws_nothing_and_changes_nothing(name, options):
    model = build(name, options).eval()
    before = copy.deepcopy(model.state_dict())
    with torch.no_grad():
        first = model(images(name))
        assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
        advance(model)
        assert torch.equal(first, model(images(name)))


@pytest.mark.parametrize(("name", "options"), STOCHASTIC)
def test_a_forward_pass_repeats_until_the_step_advances(name, options):
    """What lets a compiler or checkpointing compute it again for the backward pass."""
    torch.manual_seed(0)
    model = freeze_batch_norm(build(name, options).train())
    x = images(name).requires_grad_()

    def gradient() -> torch.Tensor:
        return torch.autograd.grad(model(x).square().sum(), x)[0]

    first = gradient()
    assert torch.equal(first, gradient())
    advance(model)
    assert not torch.equal(first, gradient())


@pytest.mark.parametrize(("name", "options"), CASES)
def test_channels_last_computes_the_same(name, options):
    model = build(name, options).double().eval()
    x = images(name, dtype=torch.float64)
    with torch.no_grad():
        expected = model(x)
        model = model.to(memory_format=torch.channels_last)
        torch.testing.assert_close(model(x.to(memory_format=torch.channels_last)), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("name", "options"), CASES)
def test_bfloat16_autocast_trains(name, options):
    model = build(name, options)
    fill(model)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = model(images(name))
    logits.float().square().sum().backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())
    with torch.no_grad():
        exact = model.eval()(images(name))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rounded = model(images(name)).float()
    assert (rounded - exact).norm() < 0.05 * exact.norm()


@pytest.mark.slow
@pytest.mark.parametrize(("name", "options"), COMPILED)
def test_compiles_without_a_graph_break(name, options):
    torch._dynamo.reset()
    torch.manual_seed(0)
    model = build(name, options)
    backend = "aot_eager" if (name, options) in TRACED_BACK else "eager"
    compiled = torch.compile(model, fullgraph=True, backend=backend)
    expected_model = copy.deepcopy(model)
    logits, expected = compiled(images(name)), expected_model(images(name))
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)
    logits.square().sum().backward()
    expected.square().sum().backward()
    for parameter, other in zip(model.parameters(), expected_model.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, other.grad, rtol=1e-3, atol=1e-3 * float(other.grad.abs().max()))


@pytest.mark.parametrize(("name", "options"), CASES)
def test_state_dict_holds_everything(name, options):
    """Another network of the family with the state loaded goes on as the first would have, random numbers included."""
    torch.manual_seed(1)
    model = build(name, options).train()
    advance(model)
    model(images(name))
    torch.manual_seed(2)
    other = build(name, options).train()
    stored = io.BytesIO()
    torch.save(model.state_dict(), stored)
    stored.seek(0)
    other.load_state_dict(torch.load(stored, weights_only=True))
    assert torch.equal(model(images(name)), other(images(name)))


@pytest.mark.parametrize(("name", "options"), CASES)
def test_the_seed_alone_decides_the_weights_and_the_meta_device_takes_none(name, options):
    states = []
    for _ in range(2):
        torch.manual_seed(3)
        states.append(build(name, options).state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    with torch.device("meta"):
        skeleton = build(name, options)
    assert all(tensor.is_meta for tensor in skeleton.state_dict().values())
    shapes = {key: (tensor.shape, tensor.dtype) for key, tensor in skeleton.state_dict().items()}
    assert shapes == {key: (tensor.shape, tensor.dtype) for key, tensor in states[0].items()}
