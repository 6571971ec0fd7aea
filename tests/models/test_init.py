"""Initialisation: the options every family has, what they draw, and each family's defaults."""

import pytest
import torch
from families import CASES, build
from torch import nn

from reslab.errors import UserError
from reslab.models.fixup import fixup_resnet
from reslab.models.preact import preact_resnet
from reslab.models.resnet import resnet
from reslab.models.shortcuts import shortcut_resnet
from reslab.models.wrn import wrn


def test_spread_of_convolutions():
    torch.manual_seed(0)
    weight = resnet(3, 10, depth=20, init="fan_in").stages[-1][-1].conv2.weight
    assert weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.02)
    weight = resnet(3, 10, depth=20, width=64, init="fan_out").stem.conv.weight
    assert weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.05)


@pytest.mark.parametrize(
    ("kind", "std"),
    [("uniform", (1 / 3 / 256) ** 0.5), ("fan_in", (2 / 256) ** 0.5), ("fan_out", (2 / 1000) ** 0.5), ("zero", 0.0)],
)
def test_classifier(kind, std):
    torch.manual_seed(0)
    fc = resnet(3, 1000, depth=8, width=64, linear_init=kind, linear_bias="zero").fc
    assert fc.weight.std().item() == pytest.approx(std, rel=0.02)
    assert fc.bias.abs().max() == 0
    bias = resnet(3, 1000, depth=8, width=64, linear_bias="uniform").fc.bias
    assert 0.9 / 16 < bias.abs().max() <= 1 / 16


def test_gamma():
    torch.manual_seed(0)
    gammas = {kind: resnet(3, 10, depth=8, width=64, gamma=kind).stages[2][0].bn1.weight for kind in ("one", "uniform", "near_one")}
    assert torch.equal(gammas["one"], torch.ones(256))
    assert gammas["uniform"].min() >= 0
    assert gammas["uniform"].max() <= 1
    assert gammas["uniform"].mean().item() == pytest.approx(0.5, abs=0.08)
    assert gammas["near_one"].std().item() == pytest.approx(0.002, rel=0.2)


@pytest.mark.parametrize(("name", "options"), CASES)
def test_zero_last_gamma_silences_the_branches_or_is_refused(name, options):
    """Where it applies, each block starts as its shortcut: the branch's gradient is zero but for the last gamma itself."""
    try:
        model = build(name, {**options, "zero_last_gamma": True})
    except UserError as error:
        assert "do not end in batch norm" in str(error)
        model = build(name, options)
        assert not any(hasattr(module, "last_norm") and module.last_norm() is not None for module in model.modules())
        return
    zeros = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d) and m.weight.abs().max() == 0]
    blocks = [m for m in model.modules() if hasattr(m, "last_norm")]
    assert len(zeros) == len(blocks)


def test_an_option_without_effect_is_refused():
    with pytest.raises(UserError, match="no batch norm"):
        fixup_resnet(3, 10, depth=8, gamma="uniform")
    with pytest.raises(UserError, match="do not end in batch norm"):
        preact_resnet(3, 10, depth=8, zero_last_gamma=True)


def test_defaults_are_those_of_the_publishing_system():
    """pytorch_image_classification drew WRN's gammas from U(0, 1) when it made its numbers, and zero biases for all classifiers."""
    torch.manual_seed(0)
    model = wrn(3, 10, depth=10, widening_factor=4)
    assert 0.4 < model.tail.bn.weight.mean() < 0.6
    assert model.fc.bias.abs().max() == 0
    assert model.stages[0][0].conv2.weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.03)


def test_fixup_starts_as_its_paper_says():
    torch.manual_seed(0)
    model = fixup_resnet(3, 10, depth=110)
    block = model.stages[2][5]
    assert block.conv1.weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5 * 54**-0.5, rel=0.03)
    assert block.conv2.weight.abs().max() == model.fc.weight.abs().max() == 0
    assert model(torch.randn(2, 3, 32, 32)).abs().max() == 0


def test_gates_start_at_their_bias():
    model = shortcut_resnet(3, 10, depth=8, shortcut={"name": "exclusive_gating", "bias": -6.0})
    assert torch.equal(model.stages[0][0].join.gate.bias, torch.full((16,), -6.0))


def test_the_later_torch7_resnet_draws_the_first_gamma_of_a_block_near_one():
    torch.manual_seed(0)
    model = build("torch7_resnet", {"depth": 8, "gamma": "uniform", "first_gamma": "near_one", "width": 64})
    first, second = (m.weight for m in model.stages[0][0].branch if isinstance(m, nn.BatchNorm2d))
    assert (first - 1).abs().max() < 0.01
    assert second.min() < 0.2
    assert model.stem.bn.weight.min() < 0.2


def test_random_layers_do_not_move_the_weights():
    """The same seed with and without dropout: networks that can be compared in pairs."""
    states = []
    for p in (0.0, 0.3):
        torch.manual_seed(5)
        states.append(build("wrn", {"depth": 10, "widening_factor": 2, "dropout": p}).state_dict())
    assert all(torch.equal(value, states[1][key]) for key, value in states[0].items())
    keys = [value for key, value in states[1].items() if key.endswith("draws.key")]
    assert len(keys) == len(set(map(int, keys))) == 3
