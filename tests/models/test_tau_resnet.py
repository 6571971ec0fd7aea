"""tau-ResNet against published fingerprints, counts, and the paper's main claim at initialisation."""

import math

import pytest
import torch
from torch import nn

from reslab.errors import UserError
from reslab.models.count import count
from reslab.models.tau_resnet import resolve_tau, tau_resnet

FINGERPRINTS = [
    {
        "id": "tau-resnet20-tau1.0000",
        "options": {"depth": 20, "tau": 1.0, "norm": "batch"},
        "parameters": 269818,
        "conv_layers": 19,
        "batch_norm_layers": 21,
        "logits": [
            [-0.134980165481, -0.00392041183294, -0.0327990832343, 0.103512102577],
            [-0.155978189345, 0.00792751999552, -0.0303447425111, 0.11634678025],
        ],
        "logit_norm": 0.378570340098,
    },
    {
        "id": "tau-resnet20-tau0.5000",
        "options": {"depth": 20, "tau": 0.5, "norm": "batch"},
        "parameters": 269818,
        "conv_layers": 19,
        "batch_norm_layers": 21,
        "logits": [
            [-0.139235380611, 0.00278776244653, -0.0352011744077, 0.102229394001],
            [-0.160253759139, 0.0150444320562, -0.0327154510938, 0.114051533772],
        ],
        "logit_norm": 0.389994643457,
    },
    {
        "id": "tau-resnet110-tau0.1360",
        "options": {"depth": 110, "tau": 0.136, "norm": "batch"},
        "parameters": 1728058,
        "conv_layers": 109,
        "batch_norm_layers": 111,
        "logits": [
            [-0.13623424801, -0.00316988161436, -0.0342509936565, 0.103897499406],
            [-0.157501309782, 0.00810826547614, -0.0300032322053, 0.115822002843],
        ],
        "logit_norm": 0.3825099536,
    },
    {
        "id": "tau-resnet20-nobn-tau0.5000",
        "options": {"depth": 20, "tau": 0.5, "norm": "none"},
        "parameters": 268383,
        "conv_layers": 19,
        "batch_norm_layers": 0,
        "logits": [
            [-0.157136307166, -0.028525082168, -0.0313758635716, 0.137159471326],
            [-0.178065326163, -0.0169713283525, -0.028234459997, 0.149576651421],
        ],
        "logit_norm": 0.430988313882,
    },
]
# The published fill writes the scalar biases while they are float32.
SCALAR_BIAS = torch.tensor(0.05, dtype=torch.float32).double()


def hashed(count: int, salt: int) -> torch.Tensor:
    """u(i, salt) of the fingerprints' rule, float64 in [-0.5, 0.5)."""
    index = torch.arange(count, dtype=torch.int64)
    return ((index * 2654435761 + salt) % 2**32).double() / 2**32 - 0.5


@torch.no_grad()
def fill(model: nn.Module) -> None:
    """Fill every tensor by the fingerprints' rule."""
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            parameter.copy_(value_of(module, name, parameter).view_as(parameter))
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.copy_(0.2 * hashed(module.num_features, 5))
            module.running_var.copy_(1 + 0.4 * hashed(module.num_features, 6))


def value_of(module: nn.Module, name: str, parameter: torch.Tensor) -> torch.Tensor:
    count = parameter.numel()
    if isinstance(module, nn.BatchNorm2d):
        return 1 + 0.2 * hashed(count, 3) if name == "weight" else 0.2 * hashed(count, 4)
    if isinstance(module, nn.Conv2d | nn.Linear):
        return hashed(count, 1) * math.sqrt(6 / parameter[0].numel()) if name == "weight" else 0.2 * hashed(count, 2)
    return parameter.detach() if name == "tau" else SCALAR_BIAS


@pytest.mark.parametrize("expected", FINGERPRINTS, ids=lambda expected: expected["id"])
def test_published_fingerprint(expected):
    model = tau_resnet(3, 10, **expected["options"]).double().eval()
    fill(model)
    with torch.no_grad():
        logits = model(4 * hashed(2 * 3 * 32 * 32, 7).view(2, 3, 32, 32))
    torch.testing.assert_close(logits[:, :4], torch.tensor(expected["logits"], dtype=torch.float64), rtol=1e-9, atol=0)
    assert logits.norm().item() == pytest.approx(expected["logit_norm"], rel=1e-9)
    counts = count(model.float(), (3, 32, 32))
    assert {key: counts[key] for key in ("parameters", "conv_layers", "batch_norm_layers")} == {
        key: expected[key] for key in ("parameters", "conv_layers", "batch_norm_layers")
    }


@pytest.mark.parametrize(
    ("norm", "depth", "parameters"),
    [
        *[("batch", d, n) for d, n in ((20, 269818), (32, 464250), (44, 658682), (56, 853114), (110, 1728058), (1202, 19421370))],
        *[("none", d, n) for d, n in ((20, 268383), (32, 461943), (44, 655503), (56, 849063), (110, 1720083), (1202, 19334043))],
    ],
)
def test_published_parameter_count(norm, depth, parameters):
    with torch.device("meta"):
        model = tau_resnet(3, 10, depth=depth, norm=norm, tau="1/sqrt(L)")
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters


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
    own_taus = [torch.full((1,), 0.5, dtype=torch.float64, requires_grad=True) for _ in model.blocks]
    out = torch.relu(model.conv1(images))
    for block, tau in zip(model.blocks, own_taus, strict=True):
        out = block(out, tau)
    model.fc(out.mean((2, 3))).square().sum().backward()
    expected = sum(tau.grad for tau in own_taus) / len(own_taus)
    model.zero_grad()
    model(images).square().sum().backward()
    torch.testing.assert_close(model.tau.grad, expected, rtol=1e-12, atol=0)


def test_batch_norm_shortcut_halves_pads_and_ignores_tau():
    model = tau_resnet(1, 10, depth=8, norm="batch", tau=0.0).eval()
    block = model.blocks[1]  # 16 -> 32 channels, stride 2
    x = torch.rand(1, 16, 4, 4)
    out = block(x, 0.0)
    assert out.shape == (1, 32, 2, 2)
    torch.testing.assert_close(out[:, :16], x[:, :, ::2, ::2] / math.sqrt(1 + 1e-5))
    assert out[:, 16:].abs().max() == 0


def initial_loss(tau: float | str, norm: str = "none") -> float:
    torch.manual_seed(0)
    model = tau_resnet(3, 10, depth=110, norm=norm, tau=tau).train()
    images, labels = torch.randn(64, 3, 32, 32), torch.randint(10, (64,))
    with torch.no_grad():
        return nn.functional.cross_entropy(model(images), labels).item()


def test_without_batch_norm_tau_decides_whether_resnet110_starts_stable():
    """The README's claim: loss above 1e6 at tau = 1, below 3 at 1/sqrt(54)."""
    assert initial_loss(1.0) > 1e6
    assert initial_loss("1/sqrt(L)") < 3
    assert initial_loss(1.0, norm="batch") < 5
