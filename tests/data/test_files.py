"""Datasets as encoded files: what is stored, measured and refused."""

import subprocess
import sys
import tarfile

import numpy as np
import pytest
from pictures import jpeg, prepare, write_pictures
from project import REPOSITORY

from reslab.data import prepared
from reslab.data.decode import centre
from reslab.data.prepared import inspection
from reslab.data.prepared.splits import Files
from reslab.errors import UserError

EQUAL = ((32, 32),)  # of the network's size already


def pixels(split: Files) -> np.ndarray:
    """The centres, uint8 (N, C, H, W)."""
    content = split.archive.read_bytes()
    rows = [content[row["offset"] :][: row["length"]] for row in split.table]
    return np.stack([centre(row, split.form).transpose(2, 0, 1) for row in rows])


def test_images_of_the_right_size_are_those_of_the_other_form(tmp_path):
    source = write_pictures(tmp_path / "in", sizes=EQUAL)
    files = prepare(source, tmp_path / "files", validation=6, stored="files", resize=32)
    arrays = prepare(source, tmp_path / "pixels", validation=6)
    for name in ("train", "validation", "test"):
        np.testing.assert_array_equal(pixels(getattr(files, name)), getattr(arrays, name).images)
        np.testing.assert_array_equal(getattr(files, name).labels, getattr(arrays, name).labels)
    new = {"stored": "files", "resize": 32}
    assert files.facts == arrays.facts | new | {key: files.facts[key] for key in ("checksum", "files")}
    np.testing.assert_array_equal(files.mean_image(), arrays.mean_image())
    assert files.test.name(0) == "test/cat/0000.jpg"
    assert "stored" not in arrays.facts


def test_statistics_are_those_of_the_centres_that_train(tmp_path):
    data = prepare(write_pictures(tmp_path / "in"), tmp_path, validation=6, stored="files")
    assert data.facts["resize"] == 36
    assert (len(data.train), len(data.validation), len(data.test)) == (18, 6, 10)
    centres = pixels(data.train) / 255
    np.testing.assert_allclose(data.facts["mean"], centres.mean((0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(data.facts["std"], centres.std((0, 2, 3)), rtol=1e-9)
    np.testing.assert_allclose(data.mean_image(), centres.mean(0), rtol=1e-12)
    sizes = {(int(row["width"]), int(row["height"])) for row in data.train.table}
    assert sizes == {(48, 40), (40, 56), (33, 33)}


@pytest.mark.parametrize("form", ["tar", "tar.gz", "zip"])
def test_archives_give_what_the_folder_gives(tmp_path, form):
    source = write_pictures(tmp_path / "in")
    archive = tmp_path / f"x.{form}"
    if form == "zip":
        import shutil

        shutil.make_archive(str(tmp_path / "x"), "zip", source)
    else:
        with tarfile.open(archive, f"w:{form[4:]}") as out:
            out.add(source, arcname="my-images")
    folder = prepare(source, tmp_path / "a", stored="files")
    packed = prepare(archive, tmp_path / "b", stored="files")
    np.testing.assert_array_equal(pixels(packed.train), pixels(folder.train))
    np.testing.assert_array_equal(packed.test.labels, folder.test.labels)
    assert sorted(path.name for path in (tmp_path / "b" / "raw").iterdir()) == ["found.json", "images.tar"]


def test_the_pictures_are_on_the_disk_once(tmp_path):
    prepare(write_pictures(tmp_path / "in"), tmp_path, stored="files")
    assert (tmp_path / "raw" / "images.tar").samefile(tmp_path / "prepared" / "images.tar")


def test_more_processes_find_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(inspection, "CHUNK", 4)
    monkeypatch.setattr(inspection, "WORTH_A_PROCESS", 1)
    source = write_pictures(tmp_path / "in")
    one, two = (prepare(source, tmp_path / str(count), validation=6, stored="files", workers=count) for count in (1, 2))
    assert one.facts == two.facts
    np.testing.assert_array_equal(one.train.table, two.train.table)


def test_the_checksum_follows_bytes_labels_split_and_form(tmp_path):
    source = write_pictures(tmp_path / "in", sizes=((48, 40),))

    def checksum(**options) -> str:
        return prepare(source, tmp_path, **{"stored": "files"} | options).facts["checksum"]

    base = checksum()
    assert checksum() == base
    others = [checksum(validation=6), checksum(resize=40), checksum(image_size=30), checksum(channels=1)]
    (source / "test" / "cat" / "0000.jpg").write_bytes(jpeg(77, (48, 40)))
    others.append(checksum())
    (source / "train" / "cat" / "0000.jpg").rename(source / "train" / "dog" / "0000.jpg")
    others.append(checksum())
    assert len({base, *others}) == 7


def test_broken_images_are_named(tmp_path):
    source = write_pictures(tmp_path / "in")
    (source / "train" / "dog" / "0001.jpg").write_bytes(jpeg(0, (64, 64))[:-30])
    with pytest.raises(UserError, match=r"cannot read image 'train/dog/0001\.jpg' \(.*truncated.*\); remove or mend it"):
        prepare(source, tmp_path, stored="files")
    (source / "test" / "cat" / "0000.jpg").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"cannot read 2 images: 'train/dog/0001\.jpg' .*'test/cat/0000\.jpg' \(unknown image f"):
        prepare(source, tmp_path, stored="files")
    assert not (tmp_path / "prepared").exists()


def test_a_wrong_layout_or_a_damaged_archive_leaves_nothing(tmp_path):
    source = write_pictures(tmp_path / "in", test=0)
    with pytest.raises(UserError, match="no images in test/"):
        prepare(source, tmp_path, stored="files")
    with tarfile.open(tmp_path / "x.tar.gz", "w:gz") as out:
        out.add(write_pictures(tmp_path / "more"), arcname=".")
    content = (tmp_path / "x.tar.gz").read_bytes()
    (tmp_path / "x.tar.gz").write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=r"x\.tar\.gz: damaged or truncated archive"):
        prepare(tmp_path / "x.tar.gz", tmp_path, stored="files")
    assert not (tmp_path / "raw").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"resize": 36}, "resize is for stored: files"),
        ({"stored": "files", "resize": 31}, "resize 31 is not allowed: at least image_size, 32"),
        ({"stored": "jpeg"}, "stored: 'jpeg' is not allowed: should be 'pixels' or 'files'"),
    ],
)
def test_impossible_options(tmp_path, options, message):
    with pytest.raises(UserError) as caught:
        prepare(tmp_path, tmp_path, **options)
    assert message in str(caught.value)


def test_missing_or_damaged_files_say_what_to_run(tmp_path):
    prepare(write_pictures(tmp_path / "in"), tmp_path, stored="files")
    folder = tmp_path / "prepared"
    content = (folder / "images.tar").read_bytes()
    (folder / "images.tar").unlink()
    with pytest.raises(UserError, match="dvc repro preprocess"):
        prepared.load(folder)
    (folder / "images.tar").write_bytes(content[:5000])
    with pytest.raises(UserError, match=r"shorter than its index says.*dvc repro preprocess"):
        prepared.load(folder)


MEMORY = """
import resource, sys
from pathlib import Path
import torch
from pictures import prepare
from reslab.data.batches.order import Order
from reslab.data.batches.streamed import Streamed
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
work = Path(sys.argv[1])
prepare(work / "few", work / "warm", image_size=224, resize=224, stored="files")  # libraries loaded
before = peak()
data = prepare(work / "in", work / "all", image_size=224, resize=224, stored="files")
for images, _, _ in Streamed(data.train, Order(len(data.train), 8), torch.device("cpu")).epoch(1):
    pass
print(len(data.train), peak() - before)
"""


def test_memory_does_not_grow_with_the_pictures(tmp_path):
    """600 pictures of 224 pixels are 90 MB of bytes; fetched, measured and trained on, they never lie in memory together."""
    write_pictures(tmp_path / "few", train=8, test=2, sizes=((224, 224),))
    write_pictures(tmp_path / "in", train=600, test=2, sizes=((224, 224),))
    path = f"{REPOSITORY / 'src'}:{REPOSITORY / 'tests' / 'support'}"
    command = [sys.executable, "-c", MEMORY, str(tmp_path)]
    done = subprocess.run(command, env={"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    images, grown = map(int, done.stdout.split())
    assert images == 600
    assert grown * 1024 < 600 * 3 * 224 * 224 / 3
