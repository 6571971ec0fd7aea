"""What single blocks compute, where no published fingerprint says it."""

import pytest
import torch
from families import build
from scipy import stats

from reslab.models.parts.stochastic import Dropout
from reslab.models.shake_shake import mixed
from reslab.models.shakedrop import ShakeDrop
from reslab.rng import advance


def silence(module: torch.nn.Module) -> None:
    """Zero all weights, so that what is left is the shortcut."""
    for parameter in module.parameters():
        torch.nn.init.zeros_(parameter)


def test_shake_shake_mixes_signal_and_gradient_by_their_own_shares():
    x = torch.randn(3, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    alpha, beta = torch.rand(3, 1, 1, 1, dtype=torch.float64), torch.rand(3, 1, 1, 1, dtype=torch.float64)
    out = mixed(x, alpha, beta)
    assert torch.equal(out, alpha * x)
    gradient = torch.randn_like(out)
    out.backward(gradient)
    torch.testing.assert_close(x.grad, beta * gradient)


@pytest.mark.parametrize(
    ("forward", "backward", "level"),
    [
        ("shake", "shake", "image"),
        ("shake", "even", "image"),
        ("shake", "keep", "image"),
        ("even", "shake", "batch"),
        ("even", "even", "image"),
        ("shake", "shake", "batch"),
    ],
)
def test_shake_shake_rules(forward, backward, level):
    torch.manual_seed(0)
    block = (
        build("shake_shake", {"depth": 8, "width": 16, "forward": forward, "backward": backward, "level": level})
        .stages[0][0]
        .train()
    )
    first, second = torch.ones(64, 1, 1, 1, requires_grad=True), torch.zeros(64, 1, 1, 1, requires_grad=True)
    signal = block.mix(first, second)  # alpha itself
    signal.sum().backward()
    shares = {"forward": signal.detach().flatten(), "backward": first.grad.flatten()}
    for name, mixing in (("forward", forward), ("backward", backward)):
        assert len(shares[name].unique()) == (64 if mixing != "even" and level == "image" else 1)
        if mixing == "even":
            assert torch.all(shares[name] == 0.5)
    assert torch.equal(shares["forward"], shares["backward"]) == (backward == "keep" or (forward, backward) == ("even", "even"))
    torch.testing.assert_close(first.grad + second.grad, torch.ones(64, 1, 1, 1))
    if (forward, backward, level) == ("shake", "shake", "image"):
        correlation = torch.corrcoef(torch.stack([shares["forward"], shares["backward"]]))[0, 1]
        assert abs(correlation) < 0.5
        advance(block)
        assert not torch.equal(block.mix(first, second), signal)


def test_shake_shake_is_even_in_evaluation():
    block = build("shake_shake", {"depth": 8, "width": 16}).stages[0][0].eval()
    x = torch.randn(2, 16, 4, 4)
    torch.testing.assert_close(block(x), x + (block.branch1(x) + block.branch2(x)) / 2)


def test_the_older_shake_shake_has_another_stem_and_tail():
    new, old = (build("shake_shake", {"depth": 8, "width": 32, "form": form}) for form in ("gastaldi", "hysts2018"))
    assert (new.stem.conv.out_channels, old.stem.conv.out_channels) == (16, 32)
    x = torch.randn(2, 3, 32, 32)
    assert new.stem(x).min() < 0 <= old.stem(x).min()
    assert isinstance(new.tail, torch.nn.ReLU)
    assert isinstance(old.stages[0][0].shortcut, torch.nn.Identity)


def test_the_authors_shake_shake_shifts_right_and_down_and_the_other_left_and_up():
    """The author's Torch code has SpatialZeroPadding(1, -1, 1, -1): one column and row before, one less after."""
    for form, expected in (("gastaldi", [[0, 0], [0, 5]]), ("hysts", [[5, 7], [13, 15]])):
        block = build("shake_shake", {"depth": 8, "width": 16, "form": form}).stages[1][0]
        skip = block.shortcut
        skip.bn = torch.nn.Identity()
        with torch.no_grad():
            for conv, weight in ((skip.conv1, 0.0), (skip.conv2, 1.0)):
                conv.weight.fill_(weight / conv.in_channels)
            out = skip(torch.arange(16.0).view(1, 1, 4, 4).expand(1, 16, 4, 4))
        assert out[0, -1].tolist() == expected


def test_dropout_keeps_the_mean_and_the_share():
    torch.manual_seed(0)
    layer, x = Dropout(0.3).train(), torch.ones(100_000)
    out = layer(x)
    assert (out == 0).float().mean().item() == pytest.approx(0.3, abs=0.006)
    assert out.max().item() == pytest.approx(1 / 0.7)
    assert torch.equal(layer.eval()(x), x)


def test_late_downsampling_has_zeros_on_both_sides():
    block = build("late_downsampling_resnet", {"depth": 8}).stages[0][-1].eval()
    silence(block)
    x = torch.rand(2, 16, 6, 6)
    out = block(x)
    assert torch.equal(out[:, 8:24], x[:, :, ::2, ::2])
    assert out[:, :8].abs().max() == out[:, 24:].abs().max() == 0


def test_torch7_convolutions_have_biases():
    model = build("torch7_resnet", {"depth": 20})
    assert all(module.bias is not None for module in model.modules() if isinstance(module, torch.nn.Conv2d))
    assert sum(p.numel() for p in model.parameters()) == 269_722 + 16 + 6 * 16 + 6 * 32 + 6 * 64


def test_fixup_shortcut_sees_the_bias_only_where_the_shape_changes():
    model = build("fixup_resnet", {"depth": 8})
    same, wider = model.stages[0][0], model.stages[1][0]
    for block in (same, wider):
        torch.nn.init.ones_(block.bias1a)
    x = torch.rand(1, 16, 4, 4)
    assert torch.equal(same(x), x)
    assert torch.equal(wider(x)[:, :16], x[:, :, ::2, ::2] + 1)


@pytest.mark.parametrize("name", ["skipinit_resnet", "rezero_resnet"])
def test_blocks_start_as_their_shortcut(name):
    block = build(name, {"depth": 8}).stages[0][0].eval()
    x = torch.rand(1, 16, 4, 4)
    assert torch.equal(block(x), x)


def test_stochastic_depth_drops_whole_branches_as_often_as_it_says():
    blocks = [block for stage in build("stochastic_depth_resnet", {"depth": 20, "survival": 0.5}).stages for block in stage]
    assert [block.survival for block in blocks] == pytest.approx([1 - i / 18 for i in range(1, 10)])
    block, x, shares = blocks[-1].train(), torch.zeros(3, 1, 1, 1), []
    for _ in range(2000):
        advance(block)
        shares.append(block.share(x).item())
    assert set(shares) == {0.0, 1.0}
    assert sum(shares) / 2000 == pytest.approx(0.5, abs=0.04)
    assert block.eval().share(x) == 0.5


def test_shakedrop_means_are_those_of_its_definition():
    torch.manual_seed(0)
    layer, signal, gradient = ShakeDrop(0.5).train(), [], []
    for _ in range(400):
        advance(layer)
        x = torch.ones(64, 1, 1, 1, requires_grad=True)
        out = layer(x)
        out.sum().backward()
        signal.append(out.detach().flatten())
        gradient.append(x.grad.flatten())
    signal, gradient = torch.stack(signal), torch.stack(gradient)
    kept = (signal == 1).all(1)
    assert kept.float().mean().item() == pytest.approx(0.5, abs=0.08)
    assert (gradient[kept] == 1).all()
    alpha, beta = signal[~kept].flatten().double().numpy(), gradient[~kept].flatten().double().numpy()
    assert stats.kstest(alpha, "uniform", args=(-1, 2)).pvalue > 0.01
    assert stats.kstest(beta, "uniform").pvalue > 0.01
    assert torch.equal(layer.eval()(torch.ones(2)), torch.full((2,), 0.5))
