"""He 2015 plain and residual nets: shortcut options, and what a block computes."""

import pytest
import torch

from reslab.errors import UserError
from reslab.models.analysis.count import count
from reslab.models.resnet import plain, resnet


def test_option_c_projects_every_block():
    model = resnet(3, 10, depth=20, shortcut="C")
    assert count(model, (3, 32, 32))["conv_layers"] == 19 + 9


def test_option_a_is_subsampling_then_zeros_after():
    block = resnet(3, 10, depth=8).stages[1][0].eval()
    for parameter in block.parameters():
        torch.nn.init.zeros_(parameter)  # the branch is silent: what is left is the shortcut
    x = torch.rand(2, 16, 6, 6)
    out = block(x)
    torch.testing.assert_close(out[:, :16], x[:, :, ::2, ::2])
    assert out[:, 16:].abs().max() == 0


@pytest.mark.parametrize(("options", "before", "after"), [({"depth": 8}, 8, 8), ({"depth": 8, "width": 5}, 2, 3)])
def test_option_a_may_have_its_zeros_on_both_sides(options, before, after):
    block = resnet(3, 10, shortcut="A_both_sides", **options).stages[1][0].eval()
    for parameter in block.parameters():
        torch.nn.init.zeros_(parameter)
    x = torch.rand(2, before + after, 6, 6)
    out = block(x)
    torch.testing.assert_close(out[:, before:-after], x[:, :, ::2, ::2])
    assert out[:, :before].abs().max() == out[:, -after:].abs().max() == 0


def test_plain_net_has_no_shortcut():
    block = plain(3, 10, depth=8).stages[0][0].eval()
    for parameter in block.parameters():
        torch.nn.init.zeros_(parameter)
    assert block(torch.rand(1, 16, 4, 4)).abs().max() == 0


@pytest.mark.parametrize("depth", [7, 2, 0, -20, 21, 51])
def test_impossible_depth_says_what_is_allowed(depth):
    with pytest.raises(UserError, match=r"6n\+2"):
        resnet(3, 10, depth=depth)
