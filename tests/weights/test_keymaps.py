"""Key maps: real key layouts, torchvision as oracle, and rules that are wrong or do not fit."""

import pytest
import torch
from checkpoints import fattorib, filled, oracle, tau
from families import build
from torch import nn

from reslab.errors import UserError
from reslab.weights import keymaps, published


@pytest.mark.parametrize(("depth", "keys", "numbers"), [(20, 167, 401_914), (32, 239, 596_346)])
def test_late_downsampling_checkpoints(depth, keys, numbers):
    shapes = fattorib(depth)
    tensors = filled(shapes)
    learned = [tensor.numel() for name, tensor in tensors.items() if name.endswith(("weight", "bias"))]
    assert (len(tensors), sum(learned)) == (keys, numbers)  # the layout is the published one
    network, blocks = build("late_downsampling_resnet", {"depth": depth}), (depth - 2) // 6
    mapped, kept = published.load(network, tensors, keymaps.read("resnets-cifar10"))
    state = network.state_dict()
    assert mapped.renamed == len(state) - 2  # fc keeps its name
    assert kept == []
    assert [line.split(":")[0] for line in mapped.dropped] == [
        "36 tensors like first_block.conv_block.0.weight",
        "15 tensors like first_block.bn.weight",
    ]
    for ours, theirs in {
        "stem.conv.weight": "first_layer.weight",
        "stem.bn.running_var": "bn.running_var",
        "stages.0.0.conv1.weight": "first_block.residual_block.0.0.weight",
        f"stages.1.{blocks - 2}.bn2.bias": f"second_block.residual_block.{blocks - 2}.4.bias",
        f"stages.1.{blocks - 1}.conv2.weight": "second_block.final_block.3.weight",
        f"stages.2.{blocks - 1}.bn1.running_mean": "third_block.final_block.1.running_mean",
        "fc.bias": "fc.bias",
    }.items():
        assert torch.equal(state[ours], tensors[theirs]), ours


@pytest.mark.parametrize("depth", [20, 32])
def test_tau_resnet_checkpoints(depth):
    tensors = filled(tau(depth, norm=True))
    network = build("tau_resnet", {"depth": depth, "tau": 0.3})
    published.load(network, tensors, keymaps.read("tau-resnet"))
    state = network.state_dict()
    assert torch.equal(state["stages.2.0.shortcut_bn.bias"], tensors["layer3.0.downsample.1.bias"])
    assert torch.equal(state["stages.1.1.bn2.weight"], tensors["layer2.1.bn2.weight"])
    assert len(tensors) == {20: 126, 32: 198}[depth]


@pytest.mark.parametrize("depth", [20, 32])
def test_tau_resnet_checkpoints_without_batch_norm(depth):
    tensors, blocks = filled(tau(depth, norm=False)), (depth - 2) // 2
    network = build("tau_resnet", {"depth": depth, "norm": "none", "tau": 1.0})
    mapped, _ = published.load(network, tensors, keymaps.read("tau-resnet-nobn"))
    assert network.tau.item() == 0.5
    assert mapped.tied == [f"{blocks + 1} equal copies of tau"]
    assert network.stages[2][1].bias2b.item() == tensors["layer3.1.bias2b"].item()
    assert len(tensors) == {20: 67, 32: 109}[depth]
    with pytest.raises(UserError, match=r"^tau and layer2\.1\.tau must be equal copies of one tensor, and differ$"):
        published.load(network, tensors | {"layer2.1.tau": torch.ones(1)}, keymaps.read("tau-resnet-nobn"))


def test_tau_resnet_imagenet_checkpoints_without_batch_norm():
    network = build("imagenet_tau_resnet", {"blocks": [1, 1, 2, 1], "width": 16, "norm": "none"})
    theirs = {"tau": torch.ones(1)}
    for name, tensor in network.state_dict().items():
        if name.startswith("stages"):
            _, stage, block, rest = name.split(".", 3)
            block = f"layer{int(stage) + 1}.{block}"
            theirs |= {f"{block}.{rest.replace('shortcut', 'downsample.0')}": tensor, f"{block}.tau": torch.ones(1)}
        elif name != "tau":
            theirs[name.replace("stem.conv", "conv1")] = tensor
    published.load(network, theirs, keymaps.read("tau-resnet-imagenet-nobn"))


ORACLES = {
    "resnet18": ("torchvision-resnet", "imagenet_resnet", {"depth": 18}),
    "resnet50": ("torchvision-resnet", "imagenet_resnet", {"depth": 50}),
    "resnext50_32x4d": ("torchvision-resnet", "imagenet_resnext", {"depth": 50}),
    "densenet121": ("torchvision-densenet", "imagenet_densenet", {"depth": 121}),
    "vgg11_bn": ("torchvision-vgg", "imagenet_vgg", {"depth": 11, "hidden": 32}),
    "vgg16": ("torchvision-vgg", "imagenet_vgg", {"depth": 16, "norm": "none", "hidden": 32}),
}


@pytest.mark.parametrize("name", ORACLES)
def test_logits_are_torchvisions(name):
    key_map, family, options = ORACLES[name]
    theirs, images = oracle(name), torch.rand(2, 3, 64, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    state = {f"module.module.{key}": value for key, value in theirs.state_dict().items() if not key.endswith("num_batches_tracked")}
    ours = build(family, options, num_classes=5).double().eval()
    _, kept = published.load(ours, published.unwrapped(state), keymaps.read(key_map))
    assert all(key.endswith("num_batches_tracked") or ".draws." in key for key in kept)
    with torch.no_grad():
        expected, logits = theirs(images), ours(images)
    assert expected.abs().max() > 0.01
    torch.testing.assert_close(logits, expected, rtol=1e-9, atol=1e-9)


def test_the_published_densenet_files_write_norm_1():
    theirs = oracle("densenet121").state_dict()
    theirs = {
        name.replace("norm1", "norm.1").replace("norm2", "norm.2").replace("conv1", "conv.1").replace("conv2", "conv.2"): tensor
        for name, tensor in theirs.items()
    }
    network = build("imagenet_densenet", {"depth": 121}, num_classes=5)
    mapped, _ = published.load(network, theirs, keymaps.read("torchvision-densenet"))
    assert mapped.renamed == len(theirs)


def test_modules_are_paired_by_number_whatever_their_order():
    """A safetensors file lists features.10 before features.4."""
    theirs = oracle("vgg11_bn").state_dict()
    network = build("imagenet_vgg", {"depth": 11, "hidden": 32}, num_classes=5)
    published.load(network, dict(sorted(theirs.items())), keymaps.read("torchvision-vgg"))
    assert torch.equal(network.state_dict()["stages.4.3.bias"], theirs["features.25.bias"].float())


def test_the_wrong_key_map_says_so():
    with pytest.raises(UserError, match=r"drop\[0\]: '\(first.*matches no tensor of the checkpoint; is this its key map\?"):
        published.load(build("tau_resnet", {"depth": 20}), filled(tau(20, norm=True)), keymaps.read("resnets-cifar10"))
    with pytest.raises(UserError, match=r"tied\[0\]: .* matches no tensor"):
        published.load(build("tau_resnet", {"depth": 20}), filled(tau(20, norm=True)), keymaps.read("tau-resnet-nobn"))
    with pytest.raises(UserError, match=r"in_order\[0\]: .* matches 16 modules of the checkpoint, .* 8 of the network"):
        theirs = oracle("vgg11_bn").state_dict()
        published.load(build("imagenet_vgg", {"depth": 11, "norm": "none", "hidden": 32}), theirs, keymaps.read("torchvision-vgg"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "about: x\nrename:\n- {from: 'a(', to: b}\n",
            r"rename\[0\]\.from: 'a\(' is not allowed: should be a valid regular expression",
        ),
        (
            "about: x\nrename:\n- {form: a, to: b}\n",
            r"rename\[0\]: unknown key 'form' \(did you mean 'from'\?\); allowed: from, to",
        ),
        ("about: x\ndrop:\n- {match: a}\n", r"drop\[0\]: missing key 'because'"),
        ("about: x\nrenames: []\n", "key map: unknown key 'renames'"),
        ("rename: []\n", "key map: missing key 'about'"),
        ("- 1\n", "key map: .* is not allowed"),
        ("about: [\n", "line 2"),
    ],
)
def test_a_key_map_is_checked(tmp_path, text, message):
    (tmp_path / "own.yaml").write_text(text)
    with pytest.raises(UserError, match=message):
        keymaps.read(str(tmp_path / "own.yaml"))


def test_an_unknown_key_map_names_those_there_are():
    with pytest.raises(UserError, match=r"key map: unknown name 'torchvision-resnets' \(did you mean 'torchvision-resnet'\?\)"):
        keymaps.read("torchvision-resnets")


@pytest.mark.parametrize("name", keymaps.shipped())
def test_every_shipped_key_map_is_well_formed(name):
    assert keymaps.read(name).about


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("{from: '(fc)', to: '{x}'}", r"rename\[0\]\.to: \{x\} is no group of the pattern"),
        ("{from: '(?P<s>fc)', to: '{s-1}'}", r"rename\[0\]\.to: \{s-1\}: 'fc' is not a number from 1 on"),
        ("{from: fc, to: 'stages.{last}'}", r"rename\[0\]\.to: \{last\}: the network has nothing numbered after 'stages.'"),
        ("{from: 'fc\\.\\w+', to: weight}", r"fc\.weight and fc\.bias would both become weight"),
        ("{from: fan, to: x}", r"rename\[0\]\.from: 'fan' matches no tensor of the checkpoint"),
    ],
)
def test_rules_that_do_not_work(tmp_path, rule, message):
    (tmp_path / "own.yaml").write_text(f"about: x\nrename:\n- {rule}\n")
    with pytest.raises(UserError, match=message):
        published.load(
            nn.Linear(3, 2), {"fc.weight": torch.zeros(2, 3), "fc.bias": torch.zeros(2)}, keymaps.read(str(tmp_path / "own.yaml"))
        )
