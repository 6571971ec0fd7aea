"""Key maps for pytorch_resnet_cifar10 and pytorch_image_classification: equal logits, with networks written anew."""

import itertools

import hysts
import pytest
import torch
from akamaster import Akamaster
from checkpoints import randomized
from families import build
from hysts import Hysts, Post, Pre, Pyramid, Shake, Vgg, Wide, widths
from torch import nn

from reslab.errors import UserError
from reslab.weights import keymaps, published

SMALL, LARGE = [1, 1, 1], [1, 2, 1, 1]
PIC = "pytorch-image-classification-"


def post(bottleneck: bool, *, large: bool = False) -> nn.Module:
    counts = LARGE if large else SMALL
    make = lambda before, after, stride, stage, i: Post(before, after, stride, bottleneck=bottleneck)  # noqa: E731
    return Hysts(widths(16, counts, 4 if bottleneck else 1), counts, make, large=large, stem="bn", tail=None, out=10)


def resnext(*, large: bool = False) -> nn.Module:
    counts = LARGE if large else SMALL
    after = [(16 * 4 * 2**stage) for stage, count in enumerate(counts) for _ in range(count)]

    def make(before, after, stride, stage, i):
        return Post(before, after, stride, bottleneck=True, inner=2 * 4 * 2**stage, groups=2)

    return Hysts([16, *after], counts, make, large=large, stem="bn", tail=None, out=10)


def preact(bottleneck: bool, *, large: bool = False, plain: bool = True, se: int = 0) -> nn.Module:
    """`plain`: the paper's units; otherwise those of PyramidNet, in which only the first stage shares its pre-activation."""
    counts = LARGE if large else SMALL

    def make(before, after, stride, stage, i):
        shared = i == 0 and (plain or stage == 0)
        return Pre(before, after, stride, bottleneck=bottleneck, shared=shared, relu=plain, last=not plain, se=se)

    names = {"stem": "bn", "tail": "bn_last"} if large else {"stem": None, "tail": "bn"}
    return Hysts(widths(16, counts, 4 if bottleneck else 1), counts, make, large=large, out=10, **names)


def wide() -> nn.Module:
    make = lambda before, after, stride, stage, i: Wide(before, after, stride)  # noqa: E731
    return Hysts([16, 32, 64, 128], SMALL, make, large=False, stem=None, tail="bn", out=10)


def pyramid(bottleneck: bool, *, large: bool = False) -> nn.Module:
    counts = LARGE if large else SMALL
    grown = itertools.accumulate([10 / sum(counts)] * sum(counts), initial=16.0)
    channels = [round(width) * (4 if bottleneck else 1) for width in grown]
    make = lambda before, after, stride, stage, i: Pyramid(before, after, stride, bottleneck=bottleneck)  # noqa: E731
    names = {"stem": "bn", "tail": "bn_last"} if large else {"stem": "bn1", "tail": "bn2"}
    network = Hysts([16, *channels[1:]], counts, make, large=large, out=10, **names)
    network.stem_relu = large
    return network


def shake() -> nn.Module:
    make = lambda before, after, stride, stage, i: Shake(before, after, stride)  # noqa: E731
    network = Hysts([16, 8, 16, 32], SMALL, make, large=False, stem="bn", tail=None, out=10)
    network.stem_relu, network.tail_relu = False, True
    return network


BN56 = {"remove_first_relu": True, "add_last_bn": True}
UNEXPANDED = {"block": "bottleneck", "expand_first_stage": False}
VGG = {"widths": [4, 8, 8, 8, 8], "layers": [1, 2, 1, 1, 2]}
BLOCKS = {"blocks": LARGE}
CASES = {  # name: theirs, key map, our family, its options
    "akamaster": (Akamaster(14), "pytorch-resnet-cifar10", "resnet", {"depth": 14, "shortcut": "A_both_sides"}),
    "akamaster-b": (Akamaster(14, "B"), "pytorch-resnet-cifar10", "resnet", {"depth": 14, "shortcut": "B"}),
    "resnet": (post(False), PIC + "resnet", "resnet", {"depth": 8, "shortcut": "B"}),
    "resnet-bottleneck": (post(True), PIC + "resnet", "resnet", {"depth": 11, "shortcut": "B", **UNEXPANDED}),
    "imagenet-resnet": (post(False, large=True), PIC + "resnet", "imagenet_resnet", {"block": "basic", "width": 16, **BLOCKS}),
    "imagenet-resnet-bottleneck": (
        post(True, large=True),
        PIC + "resnet",
        "imagenet_resnet",
        {"width": 16, **BLOCKS, **UNEXPANDED},
    ),
    "resnext": (resnext(), PIC + "resnet", "resnext", {"depth": 11, "cardinality": 2, "base_width": 4, "width": 16}),
    "imagenet-resnext": (
        *(resnext(large=True), PIC + "resnet", "imagenet_resnext"),
        {"cardinality": 2, "base_width": 4, "width": 16, **BLOCKS},
    ),
    "preact": (preact(False), PIC + "preact", "preact_resnet", {"depth": 8}),
    "preact-pyramid-units": (
        *(preact(False, plain=False), PIC + "preact", "preact_resnet"),
        {"depth": 8, "preact_stage": [True, False, False], **BN56},
    ),
    "preact-bottleneck": (preact(True), PIC + "preact-bottleneck", "preact_resnet", {"depth": 11, **UNEXPANDED}),
    "preact-bottleneck-pyramid-units": (
        *(preact(True, plain=False), PIC + "preact-bottleneck", "preact_resnet"),
        {"depth": 11, "preact_stage": [True, False, False], **BN56, **UNEXPANDED},
    ),
    "imagenet-preact": (
        *(preact(False, large=True), PIC + "preact", "imagenet_preact_resnet"),
        {"block": "basic", "width": 16, **BLOCKS},
    ),
    "imagenet-preact-bottleneck": (
        *(preact(True, large=True), PIC + "preact-bottleneck", "imagenet_preact_resnet"),
        {"width": 16, **BLOCKS, **UNEXPANDED},
    ),
    "se-preact": (preact(False, plain=False, se=4), PIC + "se-preact", "se_preact_resnet", {"depth": 8, "reduction": 4}),
    "se-preact-bottleneck": (
        *(preact(True, plain=False, se=4), PIC + "se-preact-bottleneck", "se_preact_resnet"),
        {"depth": 11, "reduction": 4, **UNEXPANDED},
    ),
    "wrn": (wide(), PIC + "wrn", "wrn", {"depth": 10, "widening_factor": 2}),
    "pyramidnet": (pyramid(False), PIC + "pyramidnet", "pyramidnet", {"depth": 8, "alpha": 10.0}),
    "pyramidnet-bottleneck": (
        *(pyramid(True), PIC + "pyramidnet-bottleneck", "pyramidnet"),
        {"depth": 11, "alpha": 10.0, "block": "bottleneck"},
    ),
    "imagenet-pyramidnet": (
        *(pyramid(True, large=True), PIC + "pyramidnet-bottleneck", "imagenet_pyramidnet"),
        {"alpha": 10.0, "block": "bottleneck", "width": 16, **BLOCKS},
    ),
    "densenet": (
        *(hysts.dense([2, 2, 2], growth=4, bottleneck=True, large=False, out=10), PIC + "densenet", "densenet"),
        {"depth": 16, "growth_rate": 4},
    ),
    "densenet-basic": (
        *(hysts.dense([2, 2, 2], growth=4, bottleneck=False, large=False, out=10), PIC + "densenet", "densenet"),
        {"depth": 10, "growth_rate": 4, "block": "basic"},
    ),
    "imagenet-densenet": (
        *(hysts.dense(LARGE, growth=8, bottleneck=True, large=True, out=10), PIC + "densenet", "imagenet_densenet"),
        {"growth_rate": 8, "last_relu": False, **BLOCKS},
    ),
    "shake-shake": (shake(), PIC + "shake-shake", "shake_shake", {"depth": 8, "width": 8, "form": "hysts"}),
    "vgg": (Vgg(VGG["widths"], VGG["layers"], bn=True, out=10), PIC + "vgg", "vgg", VGG),
    "vgg-without-bn": (Vgg(VGG["widths"], VGG["layers"], bn=False, out=10), PIC + "vgg", "vgg", {**VGG, "norm": "none"}),
    "imagenet-vgg": (
        *(Vgg(VGG["widths"], VGG["layers"], bn=True, out=10, hidden=16), PIC + "vgg", "imagenet_vgg"),
        {**VGG, "hidden": 16, "image_size": 224},
    ),
}


def images(name: str) -> torch.Tensor:
    size = 224 if name == "imagenet-vgg" else 64 if name.startswith("imagenet") else 32
    return torch.rand(2, 3, size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def imported(state: dict, key_map: str, family: str, options: dict) -> nn.Module:
    ours = build(family, options).double().eval()
    _, kept = published.load(ours, state, keymaps.read(key_map))
    assert all(".draws." in name for name in kept)
    return ours


@torch.no_grad()
@pytest.mark.parametrize("name", CASES)
def test_logits_are_theirs(name):
    theirs, key_map, family, options = CASES[name]
    expected = randomized(theirs)(images(name))
    assert expected.abs().max() > 0.01
    ours = imported(theirs.state_dict(), key_map, family, options)
    torch.testing.assert_close(ours(images(name)), expected, rtol=1e-9, atol=1e-9)


def test_every_key_map_for_them_is_tested():
    theirs = {name for name in keymaps.shipped() if name.startswith(("pytorch-resnet", PIC))}
    assert theirs == {key_map for _, key_map, _, _ in CASES.values()}


@torch.no_grad()
def test_option_a_with_the_zeros_elsewhere_fits_and_is_another_network():
    """Why names and shapes prove nothing."""
    theirs, key_map, family, options = CASES["akamaster"]
    expected = randomized(theirs)(images("akamaster"))
    ours = imported(theirs.state_dict(), key_map, family, options | {"shortcut": "A"})
    assert (ours(images("akamaster")) - expected).abs().max() > 0.1 * expected.abs().max()


def test_the_key_map_of_the_other_blocks_does_not_fit():
    theirs, _, family, options = CASES["preact-bottleneck-pyramid-units"]
    with pytest.raises(UserError, match="the checkpoint does not fit the network"):
        imported(theirs.state_dict(), PIC + "preact", family, options)
