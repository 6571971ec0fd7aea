"""Released archives that are damaged, or ask for too much: nothing of them is used, and the reason is one line."""

import struct
import zipfile
from collections import OrderedDict

import pytest
import torch
from safetensors.torch import save_file

from reslab.errors import UserError
from reslab.weights import archive, published
from reslab.weights.file import save_weights
from reslab.weights.foreign import check_archive

FILES = {"grün-s0/model.safetensors": b"weights", "grün-s0/record.json": b"{}"}


@pytest.fixture
def released(tmp_path):
    archive.write(tmp_path / "x.zip", FILES)
    return tmp_path / "x.zip"


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("grün-s0/record", "grün-s0/racord", r"has no record\.json: damaged"),
        ("grün-s0/model", "grün-s0/modul", "no networks in it"),
        ("grün-s0/record", "gr\udcc3n--s0/record", "damaged archive"),  # not UTF-8
    ],
)
def test_a_name_that_is_damaged_in_the_directory_loses_nothing_without_a_word(released, before, after, message):
    content = released.read_bytes()
    place = content.index(b"PK\1\2")
    directory = content[place:].replace(before.encode(), after.encode("utf-8", "surrogateescape"))
    assert len(directory) == len(content) - place
    released.write_bytes(content[:place] + directory)
    with pytest.raises(UserError, match=message):
        archive.released(released / "grün-s0")


@pytest.mark.parametrize("read", [archive.released, check_archive])
def test_a_list_of_a_million_files_is_refused_before_it_is_read(tmp_path, read):
    entry = b"PK\1\2" + struct.pack("<HHHHHHLLLHHHHHLL", 20, 20, *[0] * 7, 1, *[0] * 6) + b"a"
    content = entry * 500_000
    end = b"PK\5\6" + struct.pack("<HHHHLLH", 0, 0, 0xFFFF, 0xFFFF, len(content), 0, 0)
    (tmp_path / "x.zip").write_bytes(content + end)
    assert zipfile.is_zipfile(tmp_path / "x.zip")
    with pytest.raises(UserError, match="too many files"):
        read(tmp_path / "x.zip")


def test_damage_in_an_imported_file_is_seen_or_it_is_said_that_it_is_not(tmp_path):
    state = {"fc.weight": torch.ones(2, 3)}
    ours, theirs, old = tmp_path / "model.safetensors", tmp_path / "theirs.safetensors", tmp_path / "old.pt"
    save_weights(ours, torch.nn.Sequential(OrderedDict(fc=torch.nn.Linear(3, 2))), {})
    save_file(state, theirs)
    torch.save(state, old, _use_new_zipfile_serialization=False)
    said = {path: published.account(published.read_checkpoint(path), published.Mapped({}), []) for path in (ours, theirs, old)}
    assert {path.name for path, text in said.items() if "without checksums" in text} == {theirs.name, old.name}
    content = bytearray(ours.read_bytes())
    content[-1] ^= 1
    ours.write_bytes(content)
    with pytest.raises(UserError, match=r"model\.safetensors: cannot take the weights \(its checksum differs"):
        published.read_checkpoint(ours)
