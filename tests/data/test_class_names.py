"""Names of classes and files: any text, and refused by name where they are none."""

import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
from test_image_folder import FILES, dataset, png, write_folder
from test_left_out import FORMS, source

from reslab.data import prepared
from reslab.errors import UserError

NAMES = ["true", "(none)", "020", "NA", "null", "1e5", "a,b", 'say "x"', "Ünï 猫", "nan", "image", "class"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("stored", ["pixels", "files"])
def test_class_names_are_text(tmp_path, form, stored):
    files = {f"{split}/{kind}/{i}.png": png(i) for split in ("train", "test") for i, kind in enumerate(NAMES)}
    images = dataset(tmp_path / "raw", source(tmp_path, form, files), stored=stored)
    images.fetch()
    prepared.save(images.read(), tmp_path / "prepared", name="image_folder", validation=0)
    found = prepared.load(tmp_path / "prepared")
    assert found.facts["class_names"] == sorted(NAMES)
    order = [sorted(NAMES).index(name) for name in NAMES]
    assert found.train.labels.tolist() == list(range(len(NAMES)))
    assert np.argsort(order).tolist() == (found.train.pictures(list(range(len(NAMES))))[:, 0, 0, 0]).tolist()


@pytest.mark.parametrize("form", ["in", "in.tar"])  # a zip's names are UTF-8 or cp437: every one can be read
@pytest.mark.parametrize("stored", ["pixels", "files"])
@pytest.mark.parametrize("name", [b"train/cat/\xff\xfe.png", b"train/k\xe4tze/1.png"])
def test_names_that_are_not_utf8_are_refused_by_name_in_both_forms(tmp_path, form, stored, name):
    folder = os.fsencode(write_folder(tmp_path / "in"))
    for each in {name, name.replace(b"train", b"test")}:
        path = Path(os.fsdecode(folder + b"/" + each))
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(png(9))
    if form != "in":
        with tarfile.open(tmp_path / form, "w", format=tarfile.GNU_FORMAT) as archive:
            archive.add(tmp_path / "in", arcname=".")
    with pytest.raises(UserError, match=r"the name of '(train|test)/.*\\udc.*' is not UTF-8; rename it"):
        dataset(tmp_path / "raw", tmp_path / form, stored=stored).fetch()
    assert not (tmp_path / "raw").exists()


@pytest.mark.parametrize("form", FORMS)
def test_classes_that_look_alike_are_refused(tmp_path, form):
    twice = {f"{split}/{name}/1.png": png(7) for split in ("train", "test") for name in ("caf\xe9", "cafe\u0301")}
    with pytest.raises(UserError, match=r"'cafe.u0301' and 'caf.xe9' are one name, written in two ways in Unicode; rename one"):
        dataset(tmp_path / "raw", source(tmp_path, form, FILES | twice)).fetch()


def test_a_class_that_is_spelt_otherwise_in_test_is_named_so_that_the_two_can_be_told_apart(tmp_path):
    odd = {"train/caf\xe9/1.png": png(7), "test/cafe\u0301/1.png": png(7)}
    with pytest.raises(UserError, match=r"'cafe.u0301' and 'caf.xe9' are one name, written in two ways in Unicode; rename one"):
        dataset(tmp_path / "raw", source(tmp_path, "in", FILES | odd)).fetch()


@pytest.mark.parametrize("sign", ["\u2028", "\u2029", "\u202e", "\u2067", "\x85"])
def test_names_that_break_or_turn_a_line_are_refused(tmp_path, sign):
    odd = {f"{split}/a{sign}b/1.png": png(7) for split in ("train", "test")}
    with pytest.raises(UserError, match="has a line break or another control character; rename it"):
        dataset(tmp_path / "raw", source(tmp_path, "in", FILES | odd)).fetch()
