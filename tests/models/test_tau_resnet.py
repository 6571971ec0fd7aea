"""tau-ResNet: its rules, its gradient, and the paper's main claim at initialisation."""

import math

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from reslab.errors import UserError
from reslab.models.tau_resnet import imagenet_tau_resnet, resolve_tau, tau_resnet


@pytest.mark.parametrize(
    ("depth", "one", "half"),
    [
        (20, 0.3333, 0.1667),
        (32, 0.2582, 0.1291),
        (44, 0.2182, 0.1091),
        (56, 0.1925, 0.0962),
        (110, 0.1361, 0.0680),
        (1202, 0.0408, 0.0204),
    ],
)
def test_tau_rules_give_the_published_numbers(depth, one, half):
    blocks = (depth - 2) // 2
    assert resolve_tau("1/sqrt(L)", blocks) == pytest.approx(one, abs=5e-5)
    assert resolve_tau("0.5/sqrt(L)", blocks) == pytest.approx(half, abs=5e-5)


def test_other_rules():
    assert resolve_tau("2/sqrt(L)", 6) == pytest.approx(0.8165, abs=5e-5)
    assert resolve_tau("1/L", 54) == pytest.approx(1 / 54)
    assert resolve_tau("1/L^0.25", 16) == pytest.approx(0.5)
    assert resolve_tau(0.136, 54) == 0.136
    assert resolve_tau(1, 9) == 1.0


@pytest.mark.parametrize(
    "tau", [-0.1, float("nan"), float("inf"), "1/sqrt(N)", "sqrt(L)", "-1/sqrt(L)", "9" * 400 + "/L", 1e300, "__import__('os')", ""]
)
def test_impossible_tau_is_refused(tau):
    with pytest.raises(UserError, match="tau"):
        resolve_tau(tau, 9)


def test_tau_is_shared_and_listed_once():
    model = tau_resnet(3, 10, depth=20, norm="none", tau=0.5)
    assert [name for name, _ in model.named_parameters() if "tau" in name] == ["tau"]
    assert [name for name in model.state_dict() if "tau" in name] == ["tau"]
    assert "tau" not in tau_resnet(3, 10, depth=20, norm="batch", tau=0.5).state_dict()


def test_gradient_of_tau_is_the_mean_over_blocks():
    model = tau_resnet(3, 10, depth=20, norm="none", tau=0.5).double()
    images = torch.randn(4, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    blocks = [block for stage in model.stages for block in stage]
    own_taus = [torch.full((1,), 0.5, dtype=torch.float64, requires_grad=True) for _ in blocks]
    out = model.stem(images)
    for block, tau in zip(blocks, own_taus, strict=True):
        out = block(out, tau)
    model.fc(out.mean((2, 3))).square().sum().backward()
    expected = sum(tau.grad for tau in own_taus) / len(own_taus)
    model.zero_grad()
    model(images).square().sum().backward()
    torch.testing.assert_close(model.tau.grad, expected, rtol=1e-12, atol=0)


def test_batch_norm_shortcut_halves_pads_and_ignores_tau():
    model = tau_resnet(1, 10, depth=8, norm="batch", tau=0.0).eval()
    block = model.stages[1][0]  # 16 -> 32 channels, stride 2
    x = torch.rand(1, 16, 4, 4)
    out = block(x, 0.0)
    assert out.shape == (1, 32, 2, 2)
    torch.testing.assert_close(out[:, :16], x[:, :, ::2, ::2] / math.sqrt(1 + 1e-5))
    assert out[:, 16:].abs().max() == 0


def initial_loss(tau: float | str, norm: str = "none", *, digits: bool = False) -> float:
    """On noise of CIFAR-10's size, or on real digits as the shipped study has them."""
    torch.manual_seed(0)
    model = tau_resnet(1 if digits else 3, 10, depth=110, norm=norm, tau=tau).train()
    images, labels = torch.randn(64, 3, 32, 32), torch.randint(10, (64,))
    if digits:
        pixels, classes = load_digits(return_X_y=True)
        images = torch.tensor((pixels - pixels.mean()) / pixels.std(), dtype=torch.float32)[:64].reshape(-1, 1, 8, 8)
        labels = torch.tensor(classes[:64])
    with torch.no_grad():
        return nn.functional.cross_entropy(model(images), labels).item()


def test_without_batch_norm_tau_decides_whether_resnet110_starts_stable():
    """The quickstart's claim: loss above 1e6 on noise and above 1e4 on digits at tau = 1, below 3 at 1/sqrt(54)."""
    assert initial_loss(1.0) > 1e6
    assert 1e4 < initial_loss(1.0, digits=True) < 1e6
    assert initial_loss("1/sqrt(L)", digits=True) < 3
    assert initial_loss("1/sqrt(L)") < 3
    assert initial_loss(1.0, norm="batch") < 5


def test_on_large_images_L_is_the_longest_stage():
    taus = [imagenet_tau_resnet(3, 10, depth=depth, tau="2/sqrt(L)", width=4).tau for depth in (50, 101, 152)]
    assert taus == pytest.approx([0.8165, 0.4170, 0.3333], abs=5e-5)


def test_zero_last_gamma_and_tau_leave_the_shortcut():
    model = tau_resnet(1, 10, depth=8, zero_last_gamma=True).eval()
    x = torch.rand(1, 16, 4, 4)
    assert torch.equal(model.stages[0][0](x, 1.0), x)
