"""Another test set of the same classes: every form it may come in, and every way not to fit."""

import tarfile

import numpy as np
import pytest
from PIL import Image

from reslab.data.datasets import other_test_set
from reslab.errors import UserError

TASK = {"image_shape": [3, 8, 8], "class_names": ["cat", "dog", "ship"]}


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (6, 3, 8, 8), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path, images):
    """Two images a class, test/<class>/<image>."""
    for i, name in enumerate(["dog", "cat", "ship", "cat", "dog", "ship"]):
        (tmp_path / "new" / "test" / name).mkdir(parents=True, exist_ok=True)
        Image.fromarray(images[i].transpose(1, 2, 0)).save(tmp_path / "new" / "test" / name / f"{i}.png")
    (tmp_path / "new" / "README.txt").write_text("where they are from")
    return tmp_path / "new"


def test_a_folder_and_its_archive_are_the_same_images(folder, images, tmp_path):
    with tarfile.open(tmp_path / "new.tar.gz", "w:gz") as archive:
        archive.add(folder, arcname="whatever")
    for source in (folder, tmp_path / "new.tar.gz"):
        found = other_test_set.read(source, **TASK)
        assert found.labels.tolist() == [0, 0, 1, 1, 2, 2]
        np.testing.assert_array_equal(found.images, images[[1, 3, 0, 4, 2, 5]])


def test_labels_follow_the_networks_order_of_classes(folder):
    assert other_test_set.read(folder, image_shape=[3, 8, 8], class_names=["ship", "dog", "cat"]).labels.tolist() == [
        2,
        2,
        1,
        1,
        0,
        0,
    ]


def test_images_of_another_size_are_resized(folder):
    Image.new("L", (20, 30), 77).save(folder / "test" / "cat" / "0.jpg")
    found = other_test_set.read(folder, **TASK)
    assert found.images.shape == (7, 3, 8, 8)
    assert (np.abs(found.images[0].astype(int) - 77) < 3).all()


@pytest.mark.parametrize("form", ["N H W C", "N C H W"])
def test_arrays(tmp_path, images, form):
    np.save(tmp_path / "data.npy", images.transpose(0, 2, 3, 1) if form == "N H W C" else images)
    np.save(tmp_path / "labels.npy", np.array([0, 1, 2, 0, 1, 2], dtype=np.int32))
    found = other_test_set.read(tmp_path / "data.npy", labels=tmp_path / "labels.npy", **TASK)
    np.testing.assert_array_equal(found.images, images)
    assert found.images.flags.c_contiguous and found.images.flags.writeable
    assert found.labels.dtype == np.int64 and found.labels.tolist() == [0, 1, 2, 0, 1, 2]


def test_grey_arrays_need_no_channels(tmp_path, images):
    np.save(tmp_path / "data.npy", images[:, 0])
    np.save(tmp_path / "labels.npy", np.zeros(6, dtype=np.uint8))
    found = other_test_set.read(
        tmp_path / "data.npy", labels=tmp_path / "labels.npy", image_shape=[1, 8, 8], class_names=["a", "b"]
    )
    np.testing.assert_array_equal(found.images, images[:, :1])


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (["cat", "dog"], r"new: the folder names must be the network's classes, \['cat', 'dog'\]; unknown: \['ship'\]"),
        (["cat", "dog", "frog", "ship"], r"missing: \['frog'\]$"),
        (["cat", "dog", "ship", "dog"], r"several of the network's classes are called 'dog'; give images and labels"),
        (["cat", "dog", "boat"], r"unknown: \['ship'\], missing: \['boat'\]$"),
    ],
)
def test_classes_must_be_the_networks(folder, classes, message):
    with pytest.raises(UserError, match=message):
        other_test_set.read(folder, image_shape=[3, 8, 8], class_names=classes)


def test_what_is_no_test_set_is_named(tmp_path, folder, images):
    np.save(tmp_path / "data.npy", images)
    np.save(tmp_path / "labels.npy", np.zeros(6, dtype=np.int64))
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "broken.npy").write_bytes(b"not an array")
    (folder / "test" / "cat" / "2.png").write_bytes(b"not an image")
    data, labels = tmp_path / "data.npy", tmp_path / "labels.npy"
    for source, given, message in (
        (tmp_path / "nowhere", None, "nowhere: no such file or folder"),
        (tmp_path / "notes.txt", None, "notes.txt: not a folder or an archive"),
        (tmp_path / "empty", None, "empty: no images; expected <class>/<image>"),
        (folder, None, r"new: cannot read image 'test/cat/2\.png'"),
        (folder, labels, r"labels\.npy: labels are for images in a \.npy file"),
        (data, None, r"data\.npy: labels missing"),
        (data, tmp_path / "nowhere.npy", r"nowhere\.npy: no such file"),
        (tmp_path / "broken.npy", labels, r"broken\.npy: not an array of numbers"),
    ):
        with pytest.raises(UserError, match=message):
            other_test_set.read(source, labels=given, **TASK)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (np.zeros((6, 3, 8, 8)), np.zeros(6, dtype=int), "numbers of type float64; expected uint8"),
        (np.zeros((6, 9, 8, 3), dtype=np.uint8), np.zeros(6, dtype=int), r"shape \(6, 9, 8, 3\); the network takes \(N, 8, 8, 3\)"),
        (np.zeros((6, 8, 8), dtype=np.uint8), np.zeros(6, dtype=int), r"shape \(6, 8, 8\)"),
        (np.zeros((6, 3, 8, 8), dtype=np.uint8), np.zeros(5, dtype=int), "expected a whole number for each of 6 images"),
        (np.zeros((6, 3, 8, 8), dtype=np.uint8), np.zeros(6), "float64 of shape"),
        (np.zeros((2, 3, 8, 8), dtype=np.uint8), np.array([0, 3]), "labels must be from 0 to 2"),
        (np.zeros((2, 3, 8, 8), dtype=np.uint8), np.array([0, -1]), "labels must be from 0 to 2"),
        (np.zeros((0, 3, 8, 8), dtype=np.uint8), np.zeros(0, dtype=int), "at least one"),
    ],
)
def test_arrays_that_do_not_fit_are_named(tmp_path, images, labels, message):
    np.save(tmp_path / "data.npy", images)
    np.save(tmp_path / "labels.npy", labels)
    with pytest.raises(UserError, match=message):
        other_test_set.read(tmp_path / "data.npy", labels=tmp_path / "labels.npy", **TASK)
