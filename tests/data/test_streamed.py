"""Epochs decoded as they go: the batches of a split in memory, whatever decodes them and wherever an epoch begins."""

import numpy as np
import pytest
import torch
from pictures import prepare, write_pictures

from reslab.data.augment.draws import Draws
from reslab.data.augment.recipe import recipe
from reslab.data.augment.resized_crop import random_resized_crop
from reslab.data.batches import streamed
from reslab.data.batches.order import Order
from reslab.data.batches.placement import crop_of, placed, placed_for_training
from reslab.data.batches.resident import Resident
from reslab.data.batches.streamed import Streamed
from reslab.data.batches.training import TrainingBatches
from reslab.data.normalize import Normalize
from reslab.data.prepared.splits import Files
from reslab.errors import UserError

CPU = torch.device("cpu")
CROP = [{"name": "random_resized_crop", "scale": [0.2, 1.0]}, {"name": "flip"}]
JITTER = [{"name": "scale_jitter", "shorter": [36, 64], "side": 32}, {"name": "flip"}]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Pictures of several sizes, and of one size in both forms."""
    folder = tmp_path_factory.mktemp("pictures")
    several = prepare(write_pictures(folder / "several"), folder / "a", stored="files")
    source = write_pictures(folder / "equal", sizes=((32, 32),))
    files = prepare(source, folder / "b", stored="files", resize=32)
    return several, files, prepare(source, folder / "c")


def equal(first: list, second: list) -> bool:
    """Whether two lists of batches are the same to the bit."""
    pairs = [pair for one, two in zip(first, second, strict=True) for pair in zip(one, two, strict=True)]
    return all(a.dtype == b.dtype and torch.equal(a, b) for a, b in pairs)


def epoch(data, specs: list, number: int = 1, first: int = 0) -> list:
    """The finished batches of an epoch of a split."""
    raw, steps = placed_for_training(data.train, Order(len(data.train), 7, seed=3), CPU, recipe(specs), crop_of(specs))
    normalize = Normalize([0.5] * 3, [0.25] * 3, device=CPU, dtype=torch.float32)
    return list(TrainingBatches(raw, steps, normalize).iterate(number, first))


@pytest.mark.parametrize("replacement", [False, True])
@pytest.mark.parametrize("drop_last", [False, True])
def test_raw_batches_are_those_of_a_split_in_memory(pictures, replacement, drop_last):
    _, files, arrays = pictures
    order = Order(24, 7, seed=3, replacement=replacement, drop_last=drop_last)
    for number in (1, 2):
        found = list(Streamed(files.train, order, CPU).epoch(number))
        assert equal(found, list(Resident(arrays.train, order, CPU).epoch(number)))
        assert [len(labels) for _, labels, _ in found] == [7, 7, 7] + ([] if drop_last else [3])
        assert found[0][0].is_contiguous(memory_format=torch.channels_last)


def test_finished_batches_are_those_of_a_split_in_memory(pictures):
    _, files, arrays = pictures
    recipe = [{"name": "pad_crop", "padding": 4}, {"name": "flip"}, {"name": "normalize"}, {"name": "cutout", "size": 8}]
    assert equal(epoch(files, recipe), epoch(arrays, recipe))


@pytest.mark.parametrize("recipe", [CROP, JITTER], ids=["random_resized_crop", "scale_jitter"])
def test_the_crop_draws_what_the_device_would(pictures, recipe):
    """The same windows and flips; PIL rounds to whole values after each direction, the device once."""
    _, files, arrays = pictures
    for (ours, labels), (theirs, expected) in zip(epoch(files, recipe), epoch(arrays, recipe), strict=True):
        assert torch.equal(labels, expected)
        assert (ours - theirs).abs().max() <= 1.5 / 255 / 0.25
        assert not torch.equal(ours, ours.flip(3))


def test_the_crop_is_cut_from_the_whole_picture(pictures):
    """What lies in the window of a 48x40 picture, not of its 32x32 centre."""
    files = pictures[0].train
    (images, _, places), *_ = Streamed(files, Order(24, 24, seed=3), CPU, cut=crop_of(CROP)).epoch(1)
    for i, place in enumerate(places.tolist()):
        row = files.table[place]
        content = files.archive.read_bytes()[row["offset"] :][: row["length"]]
        whole = torch.from_numpy(np.array(stream_image(content))).permute(2, 0, 1)[None]
        draws = Draws(3, 1, "random_resized_crop", torch.tensor([place]))
        top, left, height, width = (int(edge) for edge in crop_of(CROP)[1](draws, *torch.tensor([whole.shape[2:]]).T))
        window = whole[:, :, top : top + height, left : left + width].float()
        expected = torch.nn.functional.interpolate(window, (32, 32), mode="bilinear", antialias=True, align_corners=False)
        assert (images[i].float() - expected[0]).abs().mean() < 1.0


def stream_image(content: bytes):
    from reslab.data.decode import opened

    return opened(content, 3)


def test_processes_change_nothing_and_an_epoch_can_begin_anywhere(pictures):
    data = pictures[0].train
    order = Order(24, 5, seed=1)
    alone, helped, between = (Streamed(data, order, CPU, workers, crop_of(CROP)) for workers in (0, 2, 2))
    for number in (1, 2):
        whole = list(alone.epoch(number))
        assert equal(list(helped.epoch(number)), whole)
    for first in (1, 3, 5):
        assert equal(list(helped.epoch(2, first)), whole[first:])
    next(helped.epoch(1))
    assert equal(list(between.epoch(2)), whole)  # while another epoch is under way
    assert equal(list(helped.epoch(2)), whole)  # which is given up
    streamed.stop_processes()


def test_a_training_epoch_begins_anywhere(pictures):
    for data in pictures:
        assert equal(epoch(data, CROP, first=2), epoch(data, CROP)[2:])


def test_no_global_generator_is_touched(pictures):
    before = torch.get_rng_state()
    epoch(pictures[0], CROP)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_picture_that_breaks_after_it_was_stored_is_named(tmp_path, workers):
    data = prepare(write_pictures(tmp_path / "in"), tmp_path, stored="files").train
    row = data.table[5]
    with data.archive.open("r+b") as archive:
        archive.seek(int(row["offset"]))
        archive.write(bytes(int(row["length"])))
    with pytest.raises(
        UserError, match=rf"image '{data.name(5)}' is damaged: its bytes are not those that preprocess read; delete data/raw"
    ):
        list(Streamed(data, Order(24, 4), CPU, workers).epoch(1))
    streamed.stop_processes()


def test_held_out_pictures_come_in_order(pictures):
    several, files, arrays = pictures
    order = Order(10, 4, shuffle=False)
    ours, theirs, different = (list(placed(data.test, order, CPU).epoch(1)) for data in (files, arrays, several))
    assert equal(ours, theirs)
    labels = torch.cat([labels for _, labels, _ in different])
    assert labels.tolist() == [0] * 5 + [1] * 5


def test_the_crop_must_come_first(pictures):
    with pytest.raises(UserError, match=r"augment\[1\]: random_resized_crop must be the first step where images"):
        placed_for_training(pictures[0].train, Order(24, 7), CPU, recipe(CROP[::-1]), crop_of(CROP[::-1]))
    with pytest.raises(UserError, match=r"augment\[0\]\.scale"):
        crop_of([{"name": "random_resized_crop", "scale": [2.0, 3.0]}])


def test_a_crop_alone_is_moved_to_where_pictures_are_decoded(pictures):
    raw, steps = placed_for_training(pictures[0].train, Order(24, 7), CPU, recipe(CROP), crop_of(CROP))
    assert [name for name, _ in steps.augmentations] == ["flip"]
    assert isinstance(raw.files, Files)
    assert random_resized_crop not in [step for _, step in steps.augmentations]


@pytest.mark.local_data
def test_real_jpegs_in_both_forms(tmp_path, some_jpegs):
    """CIFAR-10's JPEGs: statistics of a tenth, and two hundred images of an epoch to the bit."""
    files = prepare(some_jpegs, tmp_path / "files", stored="files", resize=32)
    arrays = prepare(some_jpegs, tmp_path / "pixels")
    for key in ("mean", "std", "train", "test", "class_names"):
        assert files.facts[key] == arrays.facts[key]
    order = Order(len(files.train), 100, seed=0)
    epochs = [raw.epoch(1, 7) for raw in (Streamed(files.train, order, CPU, 2), Resident(arrays.train, order, CPU))]
    ours, theirs = ([next(batches), next(batches)] for batches in epochs)
    assert equal(ours, theirs)
    assert len(ours[0][0]) == 100
    streamed.stop_processes()
