"""Strangers' files: what stands beside the weights is said and never run; sets are chosen; damage is found where it can be."""

import argparse
import collections
import os
import pathlib
import subprocess
import zipfile

import numpy as np
import pytest
import torch
from fuzzing import fuzz
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from reslab.errors import UserError
from reslab.weights import keymaps, published

STATE = {"conv.weight": torch.arange(108.0).view(4, 3, 3, 3), "bn.weight": torch.ones(4), "bn.num_batches_tracked": torch.tensor(3)}
FORMS = pytest.mark.parametrize("as_zip", [True, False], ids=["zip", "before-1.6"])


class Config(dict):
    """As easydict's and yacs's: a mapping with attributes."""


class Names(list):
    """A list of a class of its own."""


def scheduler():
    model = nn.Linear(3, 2)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10)


config = Config(depth=20, inner=Config(names=Names(["a", Config()])))
config.attribute = 3
BESIDE = {
    "argparse.Namespace": argparse.Namespace(lr=0.1, log=pathlib.Path("log")),
    "pathlib.PosixPath": pathlib.Path("checkpoints"),
    "numpy._core.multiarray.scalar": np.float64(91.2),
    "numpy.ndarray": np.array(["a", None], dtype=object),
    "torch.optim.lr_scheduler.CosineAnnealingLR": scheduler(),
    "collections.defaultdict": collections.defaultdict(list, {"a": [1]}),
    f"{__name__}.Config": config,
    f"{__name__}.Names": [Names("ab")],
    f"{__name__}.scheduler": scheduler,  # a function
}


def saved(path: pathlib.Path, stored: object, *, as_zip: bool = True) -> pathlib.Path:
    torch.save(stored, path, _use_new_zipfile_serialization=as_zip)
    return path


@FORMS
@pytest.mark.parametrize("name", BESIDE)
def test_other_types_beside_the_weights_are_named_and_not_needed(tmp_path, name, as_zip):
    read = published.read_checkpoint(saved(tmp_path / "x.pt", {"state_dict": STATE, "beside": BESIDE[name]}, as_zip=as_zip))
    assert name in read.unread
    assert read.place == "state_dict"
    assert all(torch.equal(read.tensors[key], tensor) for key, tensor in STATE.items())
    told = published.account(read, published.Mapped(read.tensors), [])
    assert told.splitlines()[1] == "taken from state_dict"
    assert told.splitlines()[2].startswith("beside the weights, not needed and not read: ")


class Runs:
    """An object whose pickle calls a function when it is loaded."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@FORMS
@pytest.mark.parametrize("function", [os.system, eval, exec, getattr, subprocess.Popen, __import__, open])
def test_code_is_refused_and_never_run(tmp_path, function, as_zip):
    text = {os.system: "touch ran", eval: "open('ran', 'w')", exec: "open('ran', 'w')"}.get(function, "ran")
    harm = Runs(function, text, "w") if function is open else Runs(function, text)
    path = saved(tmp_path / "x.pt", {"state_dict": STATE, "x": harm}, as_zip=as_zip)
    with pytest.raises(UserError, match=r"asks for \S+ to be run when it is loaded, as no file of weights does; nothing was run"):
        published.read_checkpoint(path)
    assert not (tmp_path / "ran").exists() and not pathlib.Path("ran").exists()


def test_a_function_of_the_file_is_not_called_either(tmp_path):
    called = []
    globals()["note"] = lambda *arguments: called.append(arguments)
    note.__qualname__ = note.__name__ = "note"  # noqa: F821 - so that pickle finds it here
    path = saved(tmp_path / "x.pt", {"state_dict": STATE, "x": Runs(note, "called")})  # noqa: F821
    assert f"{__name__}.note" in published.read_checkpoint(path).unread
    assert called == []


@FORMS
def test_a_whole_module_is_called_one(tmp_path, as_zip):
    with pytest.raises(
        UserError, match=r"holds Python code \(.*\), not only tensors: a whole module was saved; load it where its code is"
    ):
        published.read_checkpoint(saved(tmp_path / "x.pt", {"net": nn.Linear(3, 2), "acc": 90.0}, as_zip=as_zip))


def test_a_set_of_weights_is_chosen_by_name(tmp_path):
    other = {name: tensor + 1 for name, tensor in STATE.items()}
    optimizer = {"state": {"conv.weight": {"exp_avg": torch.zeros(3)}}, "param_groups": []}
    stored = {
        "state_dict": STATE,
        "ema": {"model": other, "decay": 0.9},
        "optimizer": optimizer,
        "rng": {"cpu": torch.get_rng_state()},
    }
    path = saved(tmp_path / "x.pt", stored)
    with pytest.raises(
        UserError, match=r"holds 2 sets of weights: state_dict \(3 tensors\), ema\.model \(3 tensors\); choose one with --set"
    ):
        published.read_checkpoint(path)
    read = published.read_checkpoint(path, "ema.model")
    assert torch.equal(read.tensors["bn.weight"], other["bn.weight"])
    assert (read.place, read.others) == ("ema.model", ["state_dict"])
    assert "taken from ema.model, not from state_dict" in published.account(read, published.Mapped({}), [])
    with pytest.raises(UserError, match=r"--set: unknown set of weights 'emma'.*allowed: state_dict, ema\.model"):
        published.read_checkpoint(path, "emma")
    with pytest.raises(UserError, match="--set ema: the file is itself one set of weights"):
        published.read_checkpoint(saved(tmp_path / "y.pt", STATE), "ema")


def test_a_mapping_that_holds_itself_ends(tmp_path):
    stored: dict = {}
    stored["again"] = stored
    with pytest.raises(UserError, match="no state dict in it"):
        published.read_checkpoint(saved(tmp_path / "x.pt", stored))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weight": torch.full((2, 3), float("nan"))}, "1 tensors hold NaN or infinity, .*: weight"),
        ({"bias": torch.tensor([1.0, float("inf")])}, "1 tensors hold NaN or infinity, .*: bias"),
        ({"bias": torch.tensor([1e300, 0], dtype=torch.float64)}, "1 tensors hold NaN or infinity, .*: bias"),  # once in float32
        ({"weight": torch.ones(2, 3, dtype=torch.int8)}, "1 tensors hold integers where the network has fractions: weight"),
        ({"weight": torch.ones(2, 3).to_sparse()}, "weight is no plain tensor"),
        ({"weight": torch.ones(2, 3, dtype=torch.complex64)}, "weight is no plain tensor"),
        ({"a\nb": torch.ones(2)}, "the name of a tensor, .*, is no line of text"),
        ({"x" * 2000: torch.ones(2)}, "the name of a tensor, .*, is no line of text of at most 1000"),
        ({"huge": torch.zeros(1).expand(2**20, 2**20)}, "huge has 1,099,511,627,776 numbers, more than any network's"),
    ],
)
def test_numbers_that_no_network_has_are_refused(tmp_path, change, message):
    path = saved(tmp_path / "x.pt", {"weight": torch.ones(2, 3), "bias": torch.zeros(2)} | change)
    with pytest.raises(UserError, match=message):
        published.load(nn.Linear(3, 2), published.read_checkpoint(path).tensors, keymaps.parse({"about": "the same names"}))


def test_a_negative_variance_is_refused():
    state = nn.BatchNorm2d(3).state_dict() | {"running_var": torch.tensor([1.0, -1.0, 1.0])}
    with pytest.raises(UserError, match="1 running variances are below zero: running_var"):
        published.load(nn.BatchNorm2d(3), state, keymaps.parse({"about": "the same names"}))


def rewritten(path: pathlib.Path, *, compression: int = zipfile.ZIP_STORED, change=lambda member, content: content) -> None:
    with zipfile.ZipFile(path) as archive:
        members = [(member, archive.read(member)) for member in archive.infolist()]
    with zipfile.ZipFile(path, "w", compression) as archive:
        for member, content in members:
            archive.writestr(member, change(member, content), compression)


def test_a_zip_that_torch_does_not_write_is_refused(tmp_path):
    path = saved(tmp_path / "x.pt", STATE)
    rewritten(path)
    assert published.read_checkpoint(path).tensors.keys() == STATE.keys()
    rewritten(path, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(UserError, match="a compressed or encrypted zip, not a torch file"):
        published.read_checkpoint(path)


def test_a_tensor_that_is_marked_as_a_folder_is_not_read_as_zeros(tmp_path):
    path = saved(tmp_path / "x.pt", STATE)

    def mark(member, content):
        member.external_attr |= 0x10 if member.filename.endswith("data/0") else 0
        return content

    rewritten(path, change=mark)
    with pytest.raises(UserError, match="damaged: something in it is marked as a folder"):
        published.read_checkpoint(path)


def test_a_flipped_bit_of_a_tensor_is_found(tmp_path):
    path = saved(tmp_path / "x.pt", STATE)
    content = bytearray(path.read_bytes())
    content[content.index(np.arange(20, 30, dtype=np.float32).tobytes())] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"damaged: the checksum of \S+ in it differs; fetch the file again"):
        published.read_checkpoint(path)


changes = st.lists(
    st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255), st.sampled_from(["set", "set", "insert", "cut"])),
    min_size=1,
    max_size=4,
)


@fuzz(600)
@pytest.mark.parametrize("form", ["zip", "before-1.6", "safetensors"])
@given(changes=changes)
def test_damaged_files_end_in_one_line_and_those_with_checksums_never_read_otherwise(form, changes, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / ("x.safetensors" if form == "safetensors" else "x.pt")
    if form == "safetensors":
        save_file(STATE, path)
    else:
        saved(path, {"state_dict": STATE, "args": argparse.Namespace(a=1)}, as_zip=form == "zip")
    content = bytearray(path.read_bytes())
    for where, byte, how in changes:
        place = int(where * len(content))
        content[place : {"set": place + 1, "insert": place, "cut": len(content)}[how]] = b"" if how == "cut" else bytes([byte])
    path.write_bytes(content)
    try:
        read = published.read_checkpoint(path)
    except UserError as error:
        assert len(str(error)) < 700
    else:
        assert form != "zip" or all(torch.equal(read.tensors[name], tensor) for name, tensor in STATE.items())
