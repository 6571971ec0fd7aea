"""Checkpoints from elsewhere: how they are read, and that all that does not fit is named."""

import pickle

import pytest
import torch
import torchvision
from checkpoints import fattorib, filled
from families import build
from safetensors.torch import save_file
from torch import nn

from reslab.errors import UserError
from reslab.weights import keymaps, published

SMALL = {"fc.weight": torch.arange(6.0).view(2, 3), "fc.bias": torch.zeros(2)}


@pytest.mark.parametrize(
    "stored",
    [
        SMALL,
        {"state_dict": SMALL, "epoch": 3},
        {"model": {"net": SMALL}, "optimizer": {"lr": 0.1}},
        {"model_state_dict": {f"module.module.{name}": tensor for name, tensor in SMALL.items()}},
        {"net": {f"_orig_mod.module.{name}": tensor for name, tensor in SMALL.items()}},
    ],
)
def test_checkpoints_are_unwrapped(tmp_path, stored):
    torch.save(stored, tmp_path / "x.pt")
    read = published.read_checkpoint(tmp_path / "x.pt").tensors
    assert read.keys() == SMALL.keys()
    assert torch.equal(read["fc.weight"], SMALL["fc.weight"])


def test_safetensors_and_old_torch_files_are_read(tmp_path):
    save_file(SMALL, tmp_path / "x.safetensors")
    torch.save(SMALL, tmp_path / "x.pth", _use_new_zipfile_serialization=False)
    for name in ("x.safetensors", "x.pth"):
        assert torch.equal(published.read_checkpoint(tmp_path / name).tensors["fc.weight"], SMALL["fc.weight"])


def test_half_precision_becomes_the_networks():
    network = nn.Linear(3, 2)
    keys = keymaps.KeyMap(about="", drop=[], tied=[], in_order=[], rename=[])
    published.load(network, {"weight": SMALL["fc.weight"].half(), "bias": torch.zeros(2).bfloat16()}, keys)
    assert network.weight.dtype == torch.float32
    assert torch.equal(network.weight.data, SMALL["fc.weight"])


def whole_module(path):
    torch.save({"net": torchvision.models.resnet18(num_classes=2), "acc": 90.0}, path)


def truncated(path):
    torch.save(SMALL, path)
    path.write_bytes(path.read_bytes()[:-100])


def text(path):
    path.write_text("404: not found")


def nothing(path):
    path.write_bytes(b"")


def bare_tensor(path):
    torch.save(torch.zeros(2), path)


def no_state_dict(path):
    torch.save({"epoch": 3, "weights": [SMALL]}, path)


def both(path):
    torch.save(SMALL | {"module.fc.bias": torch.ones(2)}, path)


def plain_pickle(path):
    path.write_bytes(pickle.dumps({"state_dict": object()}))


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (
            whole_module,
            r"holds Python code \(torchvision.models.resnet.ResNet\), not only tensors: .*torch.save\(model.state_dict\(\)",
        ),
        (truncated, "damaged, or not a torch file"),
        (text, "damaged, or not a torch file"),
        (nothing, "damaged, or not a torch file"),
        (plain_pickle, "damaged, or not a torch file|holds Python code"),
        (bare_tensor, "no state dict in it, but a Tensor"),
        (no_state_dict, "no state dict in it, which is a mapping of names to tensors and nothing else; found epoch, weights"),
        (both, "with and without the prefix"),
        (lambda path: None, "no such file"),
    ],
)
def test_what_is_no_checkpoint_is_refused_in_one_line(tmp_path, write, message):
    write(tmp_path / "x.pt")
    with pytest.raises(UserError, match=message) as caught:
        published.read_checkpoint(tmp_path / "x.pt")
    assert str(caught.value).startswith(f"{tmp_path / 'x.pt'}: ")
    assert "\n" not in str(caught.value)


def test_a_truncated_safetensors_file_is_refused(tmp_path):
    save_file(SMALL, tmp_path / "x.safetensors")
    (tmp_path / "x.safetensors").write_bytes((tmp_path / "x.safetensors").read_bytes()[:-4])
    with pytest.raises(UserError, match="damaged, or not a safetensors file"):
        published.read_checkpoint(tmp_path / "x.safetensors")


def test_all_that_does_not_fit_is_named():
    tensors = filled(fattorib(20))
    del tensors["bn.weight"]
    tensors |= {"fc.weight": torch.zeros(100, 64), "extra": torch.zeros(())}
    network = build("late_downsampling_resnet", {"depth": 20})
    with pytest.raises(UserError) as caught:
        published.load(network, tensors, keymaps.read("resnets-cifar10"))
    assert str(caught.value) == (
        "the checkpoint does not fit the network: 1 missing: stem.bn.weight; 1 unexpected: extra; "
        "1 of another shape: fc.weight is 100x64, the network's 10x64"
    )
    with pytest.raises(UserError, match=r"75 missing: stages\.0\.2\.conv2.*and 67 more|missing: .* and \d+ more"):
        published.load(build("late_downsampling_resnet", {"depth": 32}), filled(fattorib(20)), keymaps.read("resnets-cifar10"))
