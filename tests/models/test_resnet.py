"""He 2015 plain and residual nets: published counts, shortcut options, and what a block computes."""

import pytest
import torch

from reslab.errors import UserError
from reslab.models import MODELS
from reslab.models.count import count
from reslab.models.resnet import plain, resnet

OPTION_A = {20: 269722, 32: 464154, 44: 658586, 56: 853018, 110: 1727962, 1202: 19421274}
OPTION_B = {20: 272474, 32: 466906, 44: 661338, 56: 855770, 110: 1730714, 1202: 19424026}


@pytest.mark.parametrize("depth", OPTION_A)
def test_published_parameter_counts(depth):
    with torch.device("meta"):
        nets = [resnet(3, 10, depth=depth), plain(3, 10, depth=depth), resnet(3, 10, depth=depth, shortcut="B")]
    counts = [sum(parameter.numel() for parameter in net.parameters()) for net in nets]
    assert counts == [OPTION_A[depth], OPTION_A[depth], OPTION_B[depth]]


def test_multiply_adds_of_resnet20():
    with torch.device("meta"):
        model = resnet(3, 10, depth=20)
    assert count(model, (3, 32, 32))["multiply_adds"] == 40_551_040


def test_option_c_projects_every_block():
    model = resnet(3, 10, depth=20, shortcut="C")
    assert count(model, (3, 32, 32))["conv_layers"] == 19 + 9


def test_option_a_is_subsampling_then_zeros_after():
    block = resnet(3, 10, depth=8).blocks[1].eval()
    for parameter in block.parameters():
        torch.nn.init.zeros_(parameter)  # the branch is silent: what is left is the shortcut
    x = torch.rand(2, 16, 6, 6)
    out = block(x)
    torch.testing.assert_close(out[:, :16], x[:, :, ::2, ::2])
    assert out[:, 16:].abs().max() == 0


def test_plain_net_has_no_shortcut():
    block = plain(3, 10, depth=8).blocks[0].eval()
    for parameter in block.parameters():
        torch.nn.init.zeros_(parameter)
    assert block(torch.rand(1, 16, 4, 4)).abs().max() == 0


@pytest.mark.parametrize("depth", [7, 2, 0, -20, 21, 51])
def test_impossible_depth_says_what_is_allowed(depth):
    with pytest.raises(UserError, match=r"6n\+2"):
        resnet(3, 10, depth=depth)


def test_initialisation_spread():
    torch.manual_seed(0)
    weight = resnet(3, 10, depth=20, init="fan_in").blocks[-1].conv2.weight
    assert weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.02)
    weight = resnet(3, 10, depth=20, init="fan_out").conv1.weight
    assert weight.std().item() == pytest.approx((2 / (16 * 9)) ** 0.5, rel=0.1)


SMALLEST = {
    "plain": [{"depth": 8}],
    "resnet": [{"depth": 8}, {"depth": 8, "shortcut": "B"}, {"depth": 8, "shortcut": "C"}],
    "tau_resnet": [{"depth": 8, "tau": "1/sqrt(L)"}, {"depth": 8, "norm": "none", "tau": 0.5}],
}
CASES = [(name, options) for name in MODELS for options in SMALLEST[name]]


@pytest.mark.parametrize(("name", "options"), CASES)
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 28, 28), (3, 32, 32)])
def test_gradient_reaches_every_parameter(name, options, shape):
    model = MODELS[name](shape[0], 7, **options)
    logits = model(torch.randn(2, *shape))
    assert logits.shape == (2, 7)
    logits.square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in model.parameters())


@pytest.mark.parametrize(("name", "options"), CASES)
def test_channels_last_computes_the_same(name, options):
    model = MODELS[name](3, 10, **options).double().eval()
    images = torch.randn(2, 3, 16, 16, dtype=torch.float64)
    expected = model(images)
    model = model.to(memory_format=torch.channels_last)
    torch.testing.assert_close(model(images.to(memory_format=torch.channels_last)), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("name", "options"), CASES)
def test_same_seed_same_weights(name, options):
    states = []
    for _ in range(2):
        torch.manual_seed(3)
        states.append(MODELS[name](3, 10, **options).state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
