"""A user's own images: folders and archives, and everything that can be wrong with them."""

import hashlib
import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reslab.config.schema import bind
from reslab.data.datasets import DATASETS, archives
from reslab.errors import UserError


def png(shade: int, size=(8, 8)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, (shade, 2 * shade, 255 - shade)).save(out, "PNG")
    return out.getvalue()


FILES = {
    "train/cat/1.png": png(1),
    "train/cat/2.png": png(2),
    "train/dog/1.png": png(3, size=(16, 12)),
    "test/cat/1.png": png(4),
    "test/dog/1.png": png(5),
    "train/dog/notes.txt": b"not an image",
    "train/.DS_Store": b"clutter",
    "__MACOSX/train/cat/1.png": b"clutter",
}


def write_folder(folder: Path, files=FILES) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def write_archive(path: Path, files=FILES, prefix="") -> Path:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(prefix + name, content)
        return path
    with tarfile.open(path, f"w:{path.suffix.removeprefix('.').replace('tar', '')}") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(prefix + name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def dataset(raw: Path, source, **options):
    spec = {"name": "image_folder", "source": str(source), "image_size": 8} | options
    return bind(DATASETS, spec, "dataset")(raw)


def fetch_and_read(raw: Path, source, **options):
    images = dataset(raw, source, **options)
    images.fetch()
    return images.read()


def test_reads_a_folder(tmp_path):
    images = fetch_and_read(tmp_path / "raw", write_folder(tmp_path / "in"))
    assert images.class_names == ["cat", "dog"]
    assert images.train.labels.tolist() == [0, 0, 1]
    assert images.test.labels.tolist() == [0, 1]
    assert images.train.images.shape == (3, 3, 8, 8)
    assert images.train.images[1, :, 0, 0].tolist() == [2, 4, 253]
    assert images.train.images[2, :, 4, 4].tolist() == [3, 6, 252]  # resized
    assert sorted(path.name for path in (tmp_path / "raw").iterdir()) == ["found.json", "images.tar"]


@pytest.mark.parametrize("name", ["x.tar", "x.tar.gz", "x.tar.xz", "x.zip"])
@pytest.mark.parametrize("prefix", ["", "my-images-main/"])
def test_every_archive_reads_as_the_folder(tmp_path, name, prefix):
    expected = fetch_and_read(tmp_path / "raw1", write_folder(tmp_path / "in"))
    images = fetch_and_read(tmp_path / "raw2", write_archive(tmp_path / name, prefix=prefix))
    np.testing.assert_array_equal(images.train.images, expected.train.images)
    np.testing.assert_array_equal(images.test.labels, expected.test.labels)


def test_grey(tmp_path):
    assert fetch_and_read(tmp_path / "raw", write_folder(tmp_path / "in"), channels=1).train.images.shape == (3, 1, 8, 8)


def without(*prefixes: str) -> dict:
    return {name: content for name, content in FILES.items() if not name.startswith(prefixes)}


WRONG = {
    "one class": (without("train/dog", "test/dog"), "only one class in train/ (cat)"),
    "no test images": (without("test/"), "no images in test/"),
    "no train images": (without("train/"), "no images in train/"),
    "classes differ": (without("test/dog"), "only in one of them: dog"),
    "broken image": (FILES | {"train/cat/3.png": b"\x89PNG broken"}, "cannot read image 'train/cat/3.png'"),
    "truncated image": (FILES | {"test/cat/9.png": png(7, (64, 64))[:-30]}, "cannot read image 'test/cat/9.png'"),
}


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("form", ["in", "in.tar.gz", "in.zip"])
def test_what_is_wrong_is_named(tmp_path, name, form):
    files, message = WRONG[name]
    source = write_folder(tmp_path / form, files) if form == "in" else write_archive(tmp_path / form, files)
    with pytest.raises(UserError) as caught:
        fetch_and_read(tmp_path / "raw", source)
    assert message in str(caught.value)


@pytest.mark.parametrize("name", ["x.tar", "x.tar.gz", "x.tar.xz", "x.zip"])
@pytest.mark.parametrize("damage", ["truncated", "altered"])
def test_a_damaged_archive_is_refused_and_not_stored(tmp_path, name, damage):
    generator = np.random.default_rng(0)
    noise = {f"train/{c}/{i}.png": noisy_png(generator) for c in ("cat", "dog") for i in range(5)}
    path = write_archive(tmp_path / name, FILES | noise)
    content = bytearray(path.read_bytes())
    if damage == "truncated":
        content = content[: len(content) * 2 // 3]
    elif name == "x.tar":
        with tarfile.open(path) as archive:  # a plain tar has a checksum of each header, none of its contents: that is for sha256
            content[archive.getmembers()[2].offset + 100] ^= 0xFF
    else:
        content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(UserError, match=f"{name}: damaged or truncated archive"):
        dataset(tmp_path / "raw", path).fetch()
    assert not (tmp_path / "raw").exists()


def test_a_tar_cut_between_members_is_refused(tmp_path):
    """There the cut leaves whole members, only the end mark is missing."""
    path = write_archive(tmp_path / "x.tar")
    path.write_bytes(path.read_bytes()[: 512 * 4])
    with pytest.raises(UserError, match=r"x\.tar: damaged or truncated archive"):
        dataset(tmp_path / "raw", path).fetch()


def test_sixteen_bit_images_are_scaled_not_clipped(tmp_path):
    ramp = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    out = io.BytesIO()
    Image.fromarray(ramp).save(out, "PNG")
    images = fetch_and_read(
        tmp_path / "raw", write_folder(tmp_path / "in", FILES | {"train/cat/1.png": out.getvalue()}), channels=1
    )
    np.testing.assert_array_equal(images.train.images[0, 0], ramp // 257)


def noisy_png(generator: np.random.Generator) -> bytes:
    out = io.BytesIO()
    Image.fromarray(generator.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize("member", ["../evil.png", "/evil.png", "train/../../evil.png"])
@pytest.mark.parametrize("name", ["x.tar", "x.zip"])
def test_a_member_outside_the_archive_is_refused(tmp_path, member, name):
    path = write_archive(tmp_path / name, {member: b"x"} | FILES)
    with pytest.raises(UserError, match="points outside"):
        dataset(tmp_path / "raw", path).fetch()
    assert not (tmp_path / "evil.png").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_links_and_special_files_are_refused(tmp_path, kind):
    path = write_archive(tmp_path / "x.tar")
    with tarfile.open(path, "a") as archive:
        link = tarfile.TarInfo("train/cat/link.png")
        link.type, link.linkname = kind, "/etc/passwd"
        archive.addfile(link)
    with pytest.raises(UserError, match=r"is a link|not a plain file"):
        dataset(tmp_path / "raw", path).fetch()


def test_a_bomb_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MAX_MEMBER_BYTES", 100_000)
    path = write_archive(tmp_path / "x.zip", FILES | {"train/cat/bomb.png": bytes(200_000)})
    with pytest.raises(UserError, match="over the limit"):
        dataset(tmp_path / "raw", path).fetch()
    monkeypatch.setattr(archives, "MAX_TOTAL_BYTES", 100)
    with pytest.raises(UserError, match="bytes unpacked; refused"):
        dataset(tmp_path / "raw", write_archive(tmp_path / "y.tar.gz")).fetch()


def test_missing_source_and_unknown_kind_of_file(tmp_path):
    with pytest.raises(UserError, match="no such file or folder"):
        dataset(tmp_path / "raw", tmp_path / "nothing").fetch()
    (tmp_path / "x.rar").write_bytes(b"Rar!")
    with pytest.raises(UserError, match="not a folder or an archive"):
        dataset(tmp_path / "raw", tmp_path / "x.rar").fetch()


def test_sha256(tmp_path):
    path = write_archive(tmp_path / "x.zip")
    right = hashlib.sha256(path.read_bytes()).hexdigest()
    dataset(tmp_path / "raw", path, sha256=right).fetch()
    with pytest.raises(UserError, match=r"x\.zip: sha256 is"):
        dataset(tmp_path / "raw2", path, sha256="0" * 64).fetch()
    assert not (tmp_path / "raw2").exists()


def test_a_relative_source_counts_from_the_main_checkout(tmp_path, monkeypatch):
    write_folder(tmp_path / "main" / "images")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "main"))
    assert len(fetch_and_read(tmp_path / "raw", "images").train.labels) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [({"image_size": 0}, "image_size: 0"), ({"image_size": 10**8}, "image_size"), ({"channels": 2}, "channels: 2")],
)
def test_impossible_options(tmp_path, options, message):
    with pytest.raises(UserError, match=message):
        dataset(tmp_path / "raw", tmp_path, **options)
