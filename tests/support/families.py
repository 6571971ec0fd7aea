"""The smallest members of every family, in all the forms it has; a new family adds its own."""

from reslab.config.schema import bind
from reslab.models import MODELS

ORDERS = [
    "original",
    "bn_after_addition",
    "relu_before_addition",
    "relu_only_preactivation",
    "full_preactivation",
    "no_last_relu",
    "bn_after_addition_no_relu",
]
IMAGENET = {"blocks": [1, 1, 1, 1], "width": 16}

SMALLEST: dict[str, list[dict]] = {
    "plain": [{"depth": 8}],
    "resnet": [
        {"depth": 8},
        {"depth": 8, "shortcut": "A_both_sides"},
        {"depth": 8, "shortcut": "B"},
        {"depth": 8, "shortcut": "C"},
        {"depth": 11, "block": "bottleneck", "shortcut": "B"},
        {"depth": 11, "block": "bottleneck", "expand_first_stage": False},
    ],
    "preact_resnet": [
        {"depth": 8},
        {"depth": 8, "remove_first_relu": True, "add_last_bn": True, "preact_stage": [True, False, False]},
        {"depth": 11, "block": "bottleneck", "width": 8},
    ],
    "activation_resnet": [
        *({"depth": 14, "order": order} for order in ORDERS),
        {"depth": 11, "block": "bottleneck", "order": "full_preactivation", "shortcut": "B"},
        *({"depth": 8, "block": "one_layer", "order": order} for order in ("original", "full_preactivation")),
    ],
    "shortcut_resnet": [
        {"depth": 8, "shortcut": {"name": "constant", "skip": 0.5, "residual": 0.5}},
        {"depth": 8, "shortcut": {"name": "exclusive_gating", "bias": -1.0}},
        {"depth": 8, "shortcut": {"name": "shortcut_only_gating", "bias": 0.0}},
        {"depth": 8, "shortcut": {"name": "conv1x1"}},
        {"depth": 8, "shortcut": {"name": "dropout"}},
    ],
    "tau_resnet": [{"depth": 8, "tau": "1/sqrt(L)"}, {"depth": 8, "norm": "none", "tau": 0.5}],
    "fixup_resnet": [{"depth": 8}],
    "skipinit_resnet": [{"depth": 8}, {"depth": 8, "alpha": "1/sqrt(L)", "shortcut": "B"}],
    "rezero_resnet": [{"depth": 8}, {"depth": 8, "shortcut": "B"}],
    "torch7_resnet": [
        {"depth": 8},
        {"depth": 8, "last_relu": False},
        {"depth": 8, "bn": "after_addition"},
        {"depth": 8, "bn": "after_addition", "last_relu": False},
    ],
    "late_downsampling_resnet": [{"depth": 8}],
    "se_preact_resnet": [{"depth": 8}, {"depth": 11, "block": "bottleneck"}],
    "wrn": [{"depth": 10, "widening_factor": 2}, {"depth": 10, "widening_factor": 1, "dropout": 0.3}],
    "densenet": [
        {"depth": 10, "growth_rate": 4},
        {"depth": 7, "growth_rate": 4, "block": "basic", "compression": 1.0, "dropout": 0.2},
    ],
    "pyramidnet": [
        {"depth": 8, "alpha": 10},
        {"depth": 11, "alpha": 10, "block": "bottleneck"},
        {"depth": 11, "alpha": 10, "block": "bottleneck", "stem_width": 64},
    ],
    "resnext": [{"depth": 11, "cardinality": 2, "base_width": 4, "width": 8}],
    "shake_shake": [
        {"depth": 8, "width": 8},
        {"depth": 8, "width": 16},
        {"depth": 8, "width": 8, "form": "hysts"},
        {"depth": 8, "width": 8, "form": "hysts2018"},
        {"depth": 8, "width": 8, "forward": "even", "level": "batch"},
    ],
    "stochastic_depth_resnet": [{"depth": 8}, {"depth": 8, "survival": 0.2, "level": "image"}],
    "shakedrop_pyramidnet": [{"depth": 11, "alpha": 10}, {"depth": 8, "alpha": 10, "block": "basic", "survival": 0.1}],
    "vgg": [
        {"layers": [1, 1, 2], "widths": [8, 16, 16]},
        {"layers": [1, 1, 2], "widths": [8, 16, 16], "norm": "none"},
        {"layers": [1, 1, 2], "widths": [8, 16, 16], "relu": "first_conv"},
    ],
    "imagenet_plain": [{"depth": 18, "width": 8}],
    "imagenet_resnet": [
        {"block": "basic", **IMAGENET},
        {"block": "bottleneck", **IMAGENET},
        {"block": "bottleneck", "expand_first_stage": False, **IMAGENET},
    ],
    "imagenet_preact_resnet": [
        {"block": "basic", **IMAGENET},
        {
            "block": "bottleneck",
            "remove_first_relu": True,
            "add_last_bn": True,
            "preact_stage": [True, False, False, True],
            **IMAGENET,
        },
    ],
    "imagenet_activation_resnet": [
        {"block": "bottleneck", "order": "bn_after_addition", **IMAGENET},
        {"block": "basic", "order": "full_preactivation", **IMAGENET},
    ],
    "imagenet_tau_resnet": [{"tau": "2/sqrt(L)", **IMAGENET}, {"norm": "none", "tau": 0.5, **IMAGENET}],
    "imagenet_resnext": [{"cardinality": 2, "base_width": 4, **IMAGENET}],
    "imagenet_densenet": [
        {"blocks": [1, 1, 1, 1], "growth_rate": 8},
        {"blocks": [1, 1, 1, 1], "growth_rate": 8, "last_relu": False},
    ],
    "imagenet_pyramidnet": [{"block": "basic", "alpha": 16, **IMAGENET}, {"block": "bottleneck", "alpha": 16, **IMAGENET}],
    "imagenet_vgg": [
        {"depth": 11, "widths": [8, 8, 8, 8, 8], "hidden": 16},
        {"depth": 11, "widths": [8, 8, 8, 8, 8], "hidden": 16, "norm": "none", "dropout": 0.0},
    ],
}
CASES = [(name, options) for name in MODELS for options in SMALLEST[name]]
SIZES = {True: (64, 48), False: (32, 24)}  # two image sizes each, for large and small images


def build(name: str, options: dict, *, in_channels: int = 3, num_classes: int = 10):
    """The network, through the same checks as one from params.yaml."""
    return bind(MODELS, {"name": name, **options}, "model")(in_channels, num_classes)


def sizes(name: str) -> tuple[int, int]:
    return SIZES[name.startswith("imagenet")]
