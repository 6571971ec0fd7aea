"""The units of He et al. 2016: shortcuts, orders of batch norm and ReLU, units of one layer."""

import pytest
import torch
from families import build
from torch.nn import functional as F

from reslab.errors import UserError
from reslab.models.analysis.fingerprint import fill, fingerprint


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"name": "constant", "skip": 0.5, "residual": 0.5}, lambda x, f, g: 0.5 * x + 0.5 * f),
        ({"name": "constant", "skip": 0.5}, lambda x, f, g: 0.5 * x + f),
        ({"name": "exclusive_gating", "bias": -1.0}, lambda x, f, g: (1 - g) * x + g * f),
        ({"name": "shortcut_only_gating", "bias": -1.0}, lambda x, f, g: (1 - g) * x + f),
    ],
)
def test_shortcuts_of_he_2016(options, expected):
    torch.manual_seed(0)
    block = build("shortcut_resnet", {"depth": 8, "shortcut": options}).stages[0][0].eval()
    x = torch.randn(2, 16, 5, 5)
    branch = block.bn2(block.conv2(F.relu(block.bn1(block.conv1(x)))))
    gate = torch.sigmoid(block.join.gate(x)) if hasattr(block.join, "gate") else None
    torch.testing.assert_close(block(x), F.relu(expected(x, branch, gate)))


@pytest.mark.parametrize(
    ("order", "negative", "layers"),
    [
        ("original", False, "CBRCB R"),
        ("bn_after_addition", False, "CBRC BR"),
        ("relu_before_addition", True, "CBRCBR "),
        ("relu_only_preactivation", True, "RCBRCB "),
        ("full_preactivation", True, "BRCBRC "),
        ("no_last_relu", True, "CBRCB "),
        ("bn_after_addition_no_relu", True, "CBRC B"),
    ],
)
def test_orders_of_he_2016(order, negative, layers):
    """The layers in the order of Fig. 4, and whether the signal may be negative after the addition."""
    torch.manual_seed(0)
    block = build("activation_resnet", {"depth": 14, "order": order}).stages[0][1].eval()
    letters = {"Conv2d": "C", "BatchNorm2d": "B", "ReLU": "R"}
    read = [[letters[type(module).__name__] for module in modules] for modules in (block.branch, block.after)]
    assert " ".join("".join(part) for part in read) == layers
    assert (block(-torch.rand(2, 16, 5, 5)).min() < 0) == negative


@pytest.mark.parametrize(("order", "layers"), [("original", "CB R"), ("full_preactivation", "BRC "), ("bn_after_addition", "C BR")])
def test_units_of_one_layer(order, layers):
    block = build("activation_resnet", {"depth": 8, "block": "one_layer", "order": order}).stages[0][1]
    letters = {"Conv2d": "C", "BatchNorm2d": "B", "ReLU": "R"}
    read = [[letters[type(module).__name__] for module in modules] for modules in (block.branch, block.after)]
    assert " ".join("".join(part) for part in read) == layers


def batch_norm(x: torch.Tensor, norm: torch.nn.BatchNorm2d) -> torch.Tensor:
    """Batch norm in evaluation, written out."""
    spread = [part[None, :, None, None] for part in (norm.running_mean, norm.running_var, norm.weight, norm.bias)]
    return (x - spread[0]) / (spread[1] + norm.eps).sqrt() * spread[2] + spread[3]


def option_a(x: torch.Tensor, channels: int) -> torch.Tensor:
    """The shortcut where the shape changes, else x."""
    return x if x.shape[1] == channels else torch.cat([x[:, :, ::2, ::2], torch.zeros_like(x[:, :, ::2, ::2])], 1)


@pytest.mark.parametrize("preactivation", [False, True])
def test_a_net_of_one_layer_units_is_what_the_paper_draws(preactivation):
    """Eight layers written out: six units of one convolution each between the first convolution and the classifier."""
    order = "full_preactivation" if preactivation else "original"
    model = build("activation_resnet", {"depth": 8, "block": "one_layer", "order": order}).double().eval()
    fill(model)
    convs = [module for module in model.modules() if isinstance(module, torch.nn.Conv2d)]
    norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    x = images = torch.randn(2, 3, 16, 16, dtype=torch.float64)
    x = F.relu(batch_norm(F.conv2d(x, convs[0].weight, padding=1), norms.pop(0)))
    for position, conv in enumerate(convs[1:]):
        shortcut, stride = option_a(x, conv.out_channels), 2 if position in (2, 4) else 1
        if preactivation:  # the first unit's stands before the split: it is the stem's
            active = x if position == 0 else F.relu(batch_norm(x, norms.pop(0)))
            x = shortcut + F.conv2d(active, conv.weight, stride=stride, padding=1)
        else:
            x = F.relu(shortcut + batch_norm(F.conv2d(x, conv.weight, stride=stride, padding=1), norms.pop(0)))
    if preactivation:
        x = F.relu(batch_norm(x, norms.pop(0)))
    assert not norms
    torch.testing.assert_close(model(images), model.fc(x.mean((2, 3))), rtol=1e-12, atol=1e-14)


def test_resnet110_has_the_same_layers_in_units_of_one_as_in_units_of_two():
    with torch.device("meta"):
        one = build("activation_resnet", {"depth": 110, "block": "one_layer", "order": "original"})
        two = build("resnet", {"depth": 110})
    shapes = [sorted(tuple(parameter.shape) for parameter in model.parameters()) for model in (one, two)]
    assert shapes[0] == shapes[1]
    assert [len(stage) for stage in one.stages] == [36, 36, 36]
    with pytest.raises(UserError, match=r"depth 109 is impossible: allowed are 3n\+2 \(5, 8, 11, .*nearest is 110"):
        build("activation_resnet", {"depth": 109, "block": "one_layer", "order": "original"})


@pytest.mark.parametrize("block", ["basic", "bottleneck"])
def test_the_original_order_for_large_images_is_the_resnet(block):
    options = {"block": block, "blocks": [1, 2, 1, 1], "width": 16}
    ordered, plain = build("imagenet_activation_resnet", options | {"order": "original"}), build("imagenet_resnet", options)
    assert fingerprint(ordered, (3, 64, 64)) == fingerprint(plain, (3, 64, 64))
    changed = build("imagenet_activation_resnet", options | {"order": "bn_after_addition"})
    assert fingerprint(changed, (3, 64, 64)) != fingerprint(plain, (3, 64, 64))


def test_full_preactivation_is_the_preactivation_net():
    """The same function as preact_resnet whose first block alone shares its pre-activation, by another route."""
    ordered = build("activation_resnet", {"depth": 14, "order": "full_preactivation", "shortcut": "B"}).double().eval()
    preact = build("preact_resnet", {"depth": 14, "preact_stage": [True, False, False]}).double().eval()
    torch.manual_seed(0)
    ours = [
        t.normal_().abs_().mul_(0.1) if t.dim() < 2 else t.normal_().mul_(0.1)
        for t in ordered.state_dict().values()
        if t.is_floating_point()
    ]
    theirs = [t for t in preact.state_dict().values() if t.is_floating_point()]
    x = torch.randn(2, 3, 16, 16, dtype=torch.float64)
    by_shape = sorted(map(tuple, (t.shape for t in ours)))
    assert by_shape == sorted(map(tuple, (t.shape for t in theirs)))
    copy_in_order_of_use(ordered, preact, x)
    torch.testing.assert_close(preact(x), ordered(x), rtol=1e-12, atol=1e-14)


def copy_in_order_of_use(source: torch.nn.Module, target: torch.nn.Module, x: torch.Tensor) -> None:
    """Copy every layer's state to the layer of the other network that is called at the same place."""

    def called(model: torch.nn.Module) -> list[torch.nn.Module]:
        order: list[torch.nn.Module] = []
        kinds = (torch.nn.Conv2d, torch.nn.BatchNorm2d, torch.nn.Linear)
        handles = [m.register_forward_hook(lambda m, *_: order.append(m)) for m in model.modules() if isinstance(m, kinds)]
        model(x)
        for handle in handles:
            handle.remove()
        return order

    for kind in (torch.nn.Conv2d, torch.nn.BatchNorm2d, torch.nn.Linear):
        pairs = [[m for m in called(model) if isinstance(m, kind)] for model in (source, target)]
        for ours, theirs in zip(*pairs, strict=True):
            theirs.load_state_dict(ours.state_dict())
