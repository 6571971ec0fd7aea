"""What is measured against closed forms, against autograd written out, and on every family."""

import math

import pytest
import torch
from families import CASES, build, sizes
from torch import Tensor, nn

from reslab.models.analysis.propagation import has_batch_norm, measure, stage_of, tau_of
from reslab.models.tau_resnet import tau_resnet

LABELS = torch.arange(8) % 4


class Turn(nn.Module):
    """h + tau J h, where J turns pairs of channels by a right angle: |h + tau J h|^2 = (1 + tau^2) |h|^2 exactly."""

    def __init__(self, channels: int, tau: float) -> None:
        super().__init__()
        turn = torch.tensor([[0.0, -1.0], [1.0, 0.0]], dtype=torch.float64)
        self.register_buffer("matrix", torch.block_diag(*[turn] * (channels // 2)))
        self.tau = tau

    def forward(self, x: Tensor) -> Tensor:
        return x + self.tau * torch.einsum("oc,bchw->bohw", self.matrix, x)


class LinearNet(nn.Module):
    """A linear residual network of `blocks` blocks in two stages."""

    def __init__(self, blocks: int, tau: float) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        half = blocks // 2
        self.stages = nn.ModuleList(nn.Sequential(*(Turn(4, tau) for _ in range(n))) for n in (half, blocks - half))
        self.fc = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
        return self.fc(x.mean((2, 3)))


def images(channels: int = 3, size: tuple[int, int] = (8, 8)) -> Tensor:
    return torch.randn(8, channels, *size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize(("blocks", "tau"), [(9, 1.0), (54, 1.0), (54, 54**-0.25), (54, 54**-0.5), (600, 600**-0.5), (54, 1 / 54)])
def test_a_linear_network_grows_as_its_closed_form_says(blocks, tau):
    stream = measure(LinearNet(blocks, tau).double(), images(), LABELS).stream
    expected = (1 + tau**2) ** (blocks / 2)
    assert stream[-1].norm / stream[0].norm == pytest.approx(expected, rel=1e-9)
    assert stream[0].gradient / stream[-1].gradient == pytest.approx(expected, rel=1e-9)
    assert [point.block for point in stream] == list(range(blocks + 1))
    assert [stream[i].stage for i in (0, 1, blocks // 2, blocks // 2 + 1, blocks)] == [0, 1, 1, 2, 2]
    if tau <= blocks**-0.5:
        assert expected < math.sqrt(math.e)  # bounded at any depth: (1 + 1/L)^L < e


def written_out(network: nn.Module, x: Tensor) -> tuple[list[Tensor], Tensor]:
    """The stream point by point, and the logits."""
    stream = [network.stem(x)]
    for stage in network.stages:
        for block in stage:
            stream.append(block(stream[-1], network.tau))
    return stream, network.fc(stream[-1].mean((2, 3)))


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_gradients_are_those_of_autograd_on_the_network_written_out(norm):
    network, x = tau_resnet(3, 4, depth=14, norm=norm, tau=0.5).double(), images()
    found = measure(network, x, LABELS)
    stream, logits = written_out(network.train(), x)
    loss = nn.functional.cross_entropy(logits, LABELS, reduction="sum")
    weights = [module.weight for module in network.modules() if isinstance(module, nn.Conv2d)]
    gradients = torch.autograd.grad(loss, [*stream, *weights])
    for point, tensor, gradient in zip(found.stream, stream, gradients, strict=False):
        assert point.norm == pytest.approx(tensor.square().sum((1, 2, 3)).mean().sqrt().item())
        assert point.gradient == pytest.approx(gradient.square().sum((1, 2, 3)).mean().sqrt().item())
    assert len(found.stream) == len(stream) == 7
    for layer, gradient in zip(found.layers, gradients[7:], strict=True):
        assert layer.weight_gradient == pytest.approx(gradient.norm().item() / 8)


@pytest.mark.parametrize(("name", "options"), CASES)
def test_every_3x3_convolution_of_every_family_is_heard_and_nothing_is_left_behind(name, options):
    network = build(name, options, num_classes=4).eval()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    found = measure(network, images(size=(sizes(name)[0],) * 2).float(), LABELS)
    expected = {name for name, module in network.named_modules() if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3)}
    assert {layer.name for layer in found.layers} == expected
    assert len(found.layers) == len(expected)
    assert all(math.isfinite(layer.response_std) and layer.response_std >= 0 for layer in found.layers)
    assert len(found.stream) == sum(len(stage) for stage in network.stages) + 1
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())
    assert not any(module.training or module._forward_hooks or module._forward_pre_hooks for module in network.modules())


def test_a_response_is_after_batch_norm_where_there_is_one():
    network = tau_resnet(3, 4, depth=8, tau=0.5).double()
    assert [layer.response_std for layer in measure(network, images(), LABELS).layers] == pytest.approx([1] * 7, abs=1e-3)
    network.stages[1][0].bn2.weight.data.fill_(3)
    responses = {layer.name: layer.response_std for layer in measure(network, images(), LABELS).layers}
    assert responses["stages.1.0.conv2"] == pytest.approx(3, abs=1e-2)
    assert list(responses)[:3] == ["stem.conv", "stages.0.0.conv1", "stages.0.0.conv2"]


def test_a_response_without_batch_norm_is_the_convolutions_own():
    network = tau_resnet(3, 4, depth=8, norm="none", tau=0.5).double()
    layers = measure(network, images(), LABELS).layers
    first = network.stem.conv(images())
    inner = network.stages[0][0].conv1(first.relu())
    assert layers[0].response_std == pytest.approx(first.std(correction=0).item())
    assert layers[1].response_std == pytest.approx(inner.std(correction=0).item())


def test_what_float32_cannot_hold_is_measured():
    """(1 + 1)^(L/2) at L = 600 is 2^300, beyond float32's 2^128."""
    stream = measure(LinearNet(600, 1.0).double(), images(), LABELS).stream
    assert stream[-1].norm > 1e80
    assert math.isfinite(stream[0].gradient)


def test_names_tell_the_stage_and_networks_their_tau():
    assert [stage_of(name) for name in ("stem.conv", "stages.0.3.conv1", "stages.2.11.branch.0", "conv")] == [0, 1, 3, 0]
    assert tau_of(tau_resnet(3, 4, depth=20, tau="1/sqrt(L)")) == pytest.approx(1 / 3)
    assert tau_of(tau_resnet(3, 4, depth=20, norm="none", tau="1/L^0.25")) == pytest.approx(9**-0.25)
    assert math.isnan(tau_of(build("resnet", {"depth": 8})))
    assert has_batch_norm(build("resnet", {"depth": 8}))
    assert not has_batch_norm(tau_resnet(3, 4, depth=8, norm="none"))
