"""Stored data: splits, statistics, checksum."""

import dataclasses

import numpy as np
import pytest

from reslab.data import prepared
from reslab.data.prepared.splits import Arrays
from reslab.errors import UserError
from reslab.runs import records


def test_round_trip(small_images, tmp_path):
    facts = prepared.save(small_images, tmp_path, name="small", validation=0)
    data = prepared.load(tmp_path)
    np.testing.assert_array_equal(data.train.images, small_images.train.images)
    np.testing.assert_array_equal(data.test.labels, small_images.test.labels)
    assert data.validation is None
    assert set(data.held_out()) == {"test"}
    assert data.facts == facts


def test_statistics_are_those_of_the_training_pixels(small_images, tmp_path):
    facts = prepared.save(small_images, tmp_path, name="small", validation=8)
    pixels = prepared.load(tmp_path).train.images.astype(np.float64) / 255
    np.testing.assert_allclose(facts["mean"], pixels.mean((0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(facts["std"], pixels.std((0, 2, 3)), rtol=1e-9)
    np.testing.assert_allclose(prepared.load(tmp_path).mean_image(), pixels.mean(0), rtol=1e-12)


def test_validation_is_stratified_disjoint_and_the_same_each_time(small_images, tmp_path):
    for folder in ("a", "b"):
        prepared.save(small_images, tmp_path / folder, name="small", validation=8)
    first, second = prepared.load(tmp_path / "a"), prepared.load(tmp_path / "b")
    np.testing.assert_array_equal(first.validation.images, second.validation.images)
    assert np.bincount(first.validation.labels).tolist() == [2, 2, 2, 2]
    assert len(first.train) == 32
    train = {image.tobytes() for image in first.train.images}
    assert not any(image.tobytes() in train for image in first.validation.images)


@pytest.mark.parametrize("count", [1, 3, 37, 40, 100])
def test_impossible_validation_is_refused(small_images, tmp_path, count):
    with pytest.raises(UserError, match=r"dataset\.validation"):
        prepared.save(small_images, tmp_path, name="small", validation=count)


def test_a_class_too_small_to_hold_out_is_said(small_images, tmp_path):
    labels = np.r_[np.zeros(39, dtype=np.int64), 1]
    rare = dataclasses.replace(small_images, train=Arrays(small_images.train.images, labels), class_names=["a", "b"])
    with pytest.raises(UserError, match=r"a class has 1 training image"):
        prepared.save(rare, tmp_path, name="small", validation=8)


def test_checksum_follows_pixels_labels_and_split(small_images, tmp_path):
    def checksum(images, validation=0):
        return prepared.save(images, tmp_path / "x", name="small", validation=validation)["checksum"]

    base = checksum(small_images)
    assert checksum(small_images) == base
    train, changed = small_images.train, small_images.test.images.copy()
    changed[0, 0, 0, 0] ^= 1
    others = [
        checksum(dataclasses.replace(small_images, test=Arrays(changed, small_images.test.labels))),
        checksum(dataclasses.replace(small_images, train=Arrays(train.images, train.labels[::-1].copy()))),
        checksum(small_images, validation=8),
    ]
    assert len({base, *others}) == 4


def test_missing_or_damaged_data_says_what_to_run(small_images, tmp_path):
    with pytest.raises(UserError, match="dvc repro preprocess"):
        prepared.load(tmp_path)
    prepared.save(small_images, tmp_path, name="small", validation=0)
    for content in (b"not an array", b""):
        (tmp_path / "test_labels.npy").write_bytes(content)
        with pytest.raises(UserError, match="dvc repro preprocess"):
            prepared.load(tmp_path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("train", ""),
        ("train", True),
        ("test", -1),
        ("validation", 1.5),
        ("files", 3),
        ("image_shape", [3, 8]),
        ("image_shape", [3, 8, 0]),
        ("image_shape", "3x8x8"),
        ("class_names", []),
        ("class_names", ["a", 2.0]),
        ("mean", [[]]),
        ("std", 0.5),
    ],
)
def test_facts_that_none_can_have_are_refused_although_their_checksum_is_right(tmp_path, key, value):
    facts = {"class_names": ["a", "b"], "image_shape": [1, 8, 8], "train": 4, "validation": 0, "test": 2, "files": {}}
    records.write_record(tmp_path / prepared.FACTS, facts)
    assert prepared.read_facts(tmp_path) == facts
    records.write_record(tmp_path / prepared.FACTS, facts | {key: value})
    for read in (prepared.read_facts, prepared.load):
        with pytest.raises(UserError, match=rf"dataset\.json: damaged \({key} is .*\); "):
            read(tmp_path)
