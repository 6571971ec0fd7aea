"""Archives with random damage, and random trees as folder, tar and zip: never anything but images or one line of refusal."""

import io
import os
import shutil
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from fuzzing import fuzz
from hostile import CHANGES, changed, check_message
from hypothesis import given
from hypothesis import strategies as st

from reslab.data.datasets.archives import look_into
from reslab.data.datasets.image_folder import places_of
from reslab.errors import UserError

NOISE = np.random.default_rng(0)
FILES = {
    f"{split}/{kind}/{i}.png": NOISE.bytes(40 + 60 * i) for split in ("train", "test") for kind in ("cat", "dog") for i in (1, 2)
}


def tarred(form: str, files=FILES, **options) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=f"w:{form}", **options) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        for kind, name, target in (
            (tarfile.SYMTYPE, "train/cat/l.png", "1.png"),
            (tarfile.LNKTYPE, "test/dog/h.png", "test/dog/1.png"),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, target
            archive.addfile(member)
    return out.getvalue()


def zipped(method: int) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in FILES.items():
            archive.writestr(name, content)
    return out.getvalue()


LONG = FILES | {f"{split}/{kind}/{'name' * 30}.png": b"x" * 20 for split in ("train", "test") for kind in ("long" * 40, "katze_ä")}
BASES = {
    "x.tar": tarred(""),
    "pax.tar": tarred("", LONG, format=tarfile.PAX_FORMAT, pax_headers={"comment": "of the whole archive"}),
    "gnu.tar": tarred("", LONG, format=tarfile.GNU_FORMAT),
    "x.tar.gz": tarred("gz"),
    "x.tar.xz": tarred("xz"),
    "x.tar.bz2": tarred("bz2"),
    "x.zip": zipped(zipfile.ZIP_DEFLATED),
    "stored.zip": zipped(zipfile.ZIP_STORED),
    "lzma.zip": zipped(zipfile.ZIP_LZMA),
}


PLAIN = ("x.tar", "pax.tar", "gnu.tar")


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


def outcome(path: Path) -> dict[str, bytes] | None:
    """The images that are taken, or None after a refusal in one line."""
    try:
        source = look_into(path)
        places, left_out = places_of(source)
        found = dict(source.contents(places))
    except UserError as error:
        check_message(Exception(str(error).replace(str(path), "x")))
        return None
    assert set(found) == set(places)
    assert all(not name.startswith("/") and ".." not in name.split("/") for name in found)
    for line in left_out.lines():
        check_message(Exception(line[:500]))
    return found


@fuzz(2000)
@given(st.sampled_from(sorted(BASES)), CHANGES)
def test_fuzz_damaged_archives(place, name, changes):
    path = place / name
    path.write_bytes(changed(BASES[name], changes))
    found = outcome(path)
    if found is not None and name not in PLAIN:  # the others carry checksums: what is taken is what was packed
        links = {"train/cat/l.png": FILES["train/cat/1.png"], "test/dog/h.png": FILES["test/dog/1.png"]}
        assert found == (FILES if name.endswith(".zip") else FILES | links)


PART = st.sampled_from(
    ["train", "test", "cat", "dog", "a b", ".x", "Thumbs.db", "ä", "1.png", "2.JPG", "3.heic", "n", "true", "(none)"]
)
PATHS = st.lists(PART, min_size=1, max_size=5).map("/".join)
TARGETS = st.one_of(PATHS, PATHS.map("../".__add__), st.sampled_from([".", "..", "/etc/passwd", "../../..", "1.png", "../cat"]))
TREES = st.lists(st.tuples(PATHS, st.one_of(st.binary(max_size=4), st.none(), TARGETS)), max_size=14)


def planted(tree: list[tuple[str, bytes | str | None]], root: Path) -> None:
    """What of a tree a file system takes: files, empty folders (None) and links (text)."""
    for name, what in [
        ("train/cat/0.png", b"0"),
        ("train/dog/0.png", b"1"),
        ("test/cat/0.png", b"2"),
        ("test/dog/0.png", b"3"),
        *tree,
    ]:
        path = root / name
        try:
            if any(parent.is_symlink() for parent in path.parents):
                continue
            (path if what is None else path.parent).mkdir(parents=True, exist_ok=True)
            if path.exists() or path.is_symlink():
                continue
            path.symlink_to(what) if isinstance(what, str) else path.write_bytes(what)
        except OSError:
            continue


@fuzz(100)  # each writes some forty files
@given(TREES)
def test_fuzz_a_folder_and_its_archives_are_one_dataset(place, tree):
    shutil.rmtree(place / "in", ignore_errors=True)
    planted(tree, place / "in")
    with tarfile.open(place / "x.tar", "w") as archive:
        archive.add(place / "in", arcname=".")
    with zipfile.ZipFile(place / "x.zip", "w") as archive:
        for folder, folders, files in os.walk(place / "in"):
            for name in (*folders, *files):
                add(archive, Path(folder, name), str(Path(folder, name).relative_to(place / "in")))
    folder, tar, zip_ = (outcome(place / name) for name in ("in", "x.tar", "x.zip"))
    assert tar == zip_
    assert tar is None or tar == folder  # a folder also knows whether a link out of it leads to an image
    assert folder is None or all((place / "in" / name).read_bytes() == content for name, content in folder.items())


def add(archive: zipfile.ZipFile, path: Path, name: str) -> None:
    member = zipfile.ZipInfo(name + "/" * (path.is_dir() and not path.is_symlink()))
    if path.is_symlink():
        member.external_attr = 0o120777 << 16
        archive.writestr(member, str(path.readlink()))
    else:
        archive.writestr(member, b"" if path.is_dir() else path.read_bytes())
