"""Depths, widths and options that cannot be, and what the message allows; images that are too small."""

import pytest
import torch
from families import build

from reslab.errors import UserError
from reslab.models.analysis.count import count


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("resnet", {"depth": 21}, r"depth 21 is impossible: allowed are 6n\+2 .*nearest is 20"),
        ("resnet", {"depth": 21, "block": "bottleneck"}, r"9n\+2 .*nearest is 20"),
        ("preact_resnet", {"depth": 3}, r"6n\+2"),
        ("preact_resnet", {"depth": 8, "preact_stage": [True, True]}, "one true or false for each of the 3 stages"),
        ("wrn", {"depth": 20, "widening_factor": 4}, r"6n\+4 .*nearest is 22"),
        ("wrn", {"depth": 16, "widening_factor": 0}, "widening_factor: 0 is not allowed"),
        ("wrn", {"depth": 16, "widening_factor": 1, "dropout": 1.0}, "dropout: 1.0 is not allowed"),
        ("densenet", {"depth": 101, "growth_rate": 12}, r"6n\+4 .*nearest is 100"),
        ("densenet", {"depth": 41, "growth_rate": 12, "block": "basic"}, r"3n\+4 .*nearest is 40"),
        ("densenet", {"depth": 10, "growth_rate": 1, "compression": 0.1}, "compression 0.1 leaves none of 3 channels"),
        ("pyramidnet", {"depth": 110, "alpha": 0}, "alpha: 0 is not allowed"),
        ("resnext", {"depth": 30, "cardinality": 8, "base_width": 64}, r"9n\+2 .*nearest is 29"),
        ("shake_shake", {"depth": 26, "width": 32, "level": "pixel"}, "level: 'pixel' is not allowed"),
        ("shake_shake", {"depth": 26, "width": 3}, "width 3 is not allowed: an even number"),
        ("se_preact_resnet", {"depth": 8, "reduction": 32}, "reduction 32 is not allowed: a stage has only 16 channels"),
        (
            "resnet",
            {"depth": 11, "block": "bottleneck", "width": 2, "expand_first_stage": False},
            "2 channels is impossible: they must be divisible by 4",
        ),
        ("vgg", {"layers": [1, 1], "widths": [8]}, "one number a stage"),
        ("preact_resnet", {"depth": 8, "preact_stage": []}, "one true or false for each of the 3 stages"),
        ("se_preact_resnet", {"depth": 8, "preact_stage": []}, "one true or false for each of the 3 stages"),
        ("resnet", {"depth": 8, "expand_first_stage": False}, "expand_first_stage false is not allowed: only bottlenecks expand"),
        (
            "pyramidnet",
            {"depth": 8, "alpha": 10, "stem_width": 64},
            "stem_width 64 is not allowed: the first block has 19",
        ),
        ("skipinit_resnet", {"depth": 8, "alpha": "2"}, "alpha '2' is not a number"),
        ("rezero_resnet", {"depth": 8, "zero_last_gamma": True}, "do not end in batch norm, or start at zero anyway"),
        ("imagenet_resnet", {}, "give either depth .* or blocks"),
        ("imagenet_resnet", {"depth": 50, "blocks": [3, 4, 6, 3]}, "give either depth .* or blocks"),
        ("imagenet_resnet", {"depth": 20}, "depth 20 is impossible: allowed are 18, 34, 50, 101, 152, 200"),
        ("imagenet_resnet", {"blocks": [1, 1, 1, 1]}, "blocks needs a block type too"),
        ("imagenet_resnet", {"depth": 50, "block": "basic"}, "ResNet-50 has bottleneck blocks"),
        ("imagenet_densenet", {"depth": 120}, "give either depth .121, 169"),
        ("imagenet_vgg", {"depth": 15}, r"give either depth \(11, 13, 16, 19\)"),
        ("imagenet_tau_resnet", {"depth": 50, "tau": "1/L2"}, "tau '1/L2' is not"),
        ("shortcut_resnet", {"depth": 8, "shortcut": {"name": "gate"}}, "shortcut.name: unknown name 'gate'"),
        ("shortcut_resnet", {"depth": 8, "shortcut": {"name": "constant", "skp": 0.5}}, "did you mean 'skip'"),
        ("activation_resnet", {"depth": 8, "order": "relu_first"}, "order: 'relu_first' is not allowed"),
    ],
)
def test_what_cannot_be_says_what_can(name, options, message):
    with pytest.raises(UserError, match=message):
        build(name, options)


@pytest.mark.parametrize(
    ("name", "options", "size", "message"),
    [
        ("vgg", {}, 28, "28x28 images are too small: each of the 5 stages halves them, which takes 32x32"),
        ("imagenet_vgg", {"depth": 11, "widths": [8] * 5, "hidden": 8}, 16, "16x16 images are too small"),
        ("vgg", {"image_size": 32}, 64, "64x64 images do not fit image_size 32"),
        ("densenet", {"depth": 10, "growth_rate": 4}, 3, "this network cannot take 3x3x3 images"),
    ],
)
def test_too_small_an_image_is_named(name, options, size, message):
    with torch.device("meta"):
        model = build(name, options)
    with pytest.raises(UserError, match=message):
        count(model, (3, size, size))


def test_four_stages_of_vgg_take_28x28():
    model = build("vgg", {"widths": [8, 8, 8, 8], "layers": [2, 2, 3, 3]}, in_channels=1)
    assert model(torch.rand(2, 1, 28, 28)).shape == (2, 10)


@pytest.mark.parametrize(("options", "size", "parameters"), [({"image_size": 64}, 64, 14_728_266 + 3 * 5120), ({}, 64, 14_728_266)])
def test_vgg_takes_the_whole_map_or_its_average(options, size, parameters):
    with torch.device("meta"):
        assert count(build("vgg", options), (3, size, size))["parameters"] == parameters
