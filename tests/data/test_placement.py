"""Where a split is kept: the choice, and that it changes no bit."""

import gc
import shutil

import numpy as np
import pytest
import torch

from reslab.data import prepared
from reslab.data.batches.held_out import images_at_once
from reslab.data.batches.hosted import Hosted
from reslab.data.batches.order import Order
from reslab.data.batches.placement import placed
from reslab.data.batches.resident import Resident, in_use
from reslab.data.prepared.splits import Arrays
from reslab.environment import SHARE, decoders, resident_bytes
from reslab.errors import UserError

CPU = torch.device("cpu")


@pytest.fixture
def split(small_images) -> Arrays:
    return small_images.train


def test_a_split_larger_than_the_share_stays_in_host_memory(split, monkeypatch):
    assert isinstance(placed(split, Order(len(split), 12), CPU), Resident)
    monkeypatch.setenv("RESLAB_RESIDENT_GIB", str(split.images.nbytes / 2**30))
    assert isinstance(placed(split, Order(len(split), 12), CPU), Resident)
    monkeypatch.setenv("RESLAB_RESIDENT_GIB", str((split.images.nbytes - 1) / 2**30))
    assert isinstance(placed(split, Order(len(split), 12), CPU), Hosted)
    monkeypatch.setenv("RESLAB_RESIDENT_GIB", "0")
    assert isinstance(placed(split, Order(len(split), 12), CPU), Hosted)


def test_the_share_of_a_devices_free_memory(monkeypatch):
    assert resident_bytes(None) == float("inf")
    assert resident_bytes(100) == 100 * SHARE
    monkeypatch.setenv("RESLAB_RESIDENT_GIB", "1.5")
    assert resident_bytes(100) == resident_bytes(None) == 1.5 * 2**30


@pytest.mark.parametrize("replacement", [False, True])
@pytest.mark.parametrize("first_batch", [0, 2])
def test_batches_from_host_memory_are_the_same(split, replacement, first_batch):
    order = Order(len(split), 12, seed=5, replacement=replacement)
    for epoch in (1, 2):
        resident, hosted = (list(kind(split, order, CPU).epoch(epoch, first_batch)) for kind in (Resident, Hosted))
        assert len(resident) == 4 - first_batch
        for one, two in zip(resident, hosted, strict=True):
            assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


def test_without_shuffling_samples_come_in_their_own_order(split):
    for kind in (Resident, Hosted):
        batches = list(kind(split, Order(len(split), 12, shuffle=False), CPU).epoch(1))
        assert [len(labels) for _, labels, _ in batches] == [12, 12, 12, 4]
        images, labels, places = map(torch.cat, zip(*batches, strict=True))
        np.testing.assert_array_equal(images, split.images)
        np.testing.assert_array_equal(labels, split.labels)
        assert places.tolist() == list(range(40))


def test_an_order_leaves_out_only_what_it_is_told(split):
    order = Order(40, 12, seed=0, drop_last=True)
    assert [len(samples) for samples, _ in order.batches(1)] == [12, 12, 12]
    assert list(order.batches(1, 3)) == []
    assert list(Order(5, 12, seed=0, drop_last=True).batches(1)) == []
    samples, places = next(Order(40, 40, seed=0, replacement=True).batches(1))
    assert places.tolist() == list(range(40))
    assert len(set(samples.tolist())) < 40


def test_what_is_asked_of_the_machine_must_be_possible(monkeypatch):
    assert decoders(3) == 3
    monkeypatch.setenv("RESLAB_DECODERS", "0")
    assert decoders(3) == 0
    for value in ("many", "-1", "99999"):
        monkeypatch.setenv("RESLAB_DECODERS", value)
        with pytest.raises(UserError, match=rf"RESLAB_DECODERS={value} is not allowed: a whole number from 0 to 1024"):
            decoders(3)
    for value in ("much", "-1", "nan", "inf"):
        monkeypatch.setenv("RESLAB_RESIDENT_GIB", value)
        with pytest.raises(UserError, match=rf"RESLAB_RESIDENT_GIB={value} is not allowed: a number of GiB"):
            resident_bytes(10)


def test_networks_of_one_process_share_one_copy_of_a_split_until_none_uses_it(small_images, tmp_path):
    folder = tmp_path / "data"
    prepared.save(small_images, folder, name="small", validation=8)
    one, other = (prepared.load(folder) for _ in range(2))
    assert one is other
    assert prepared.load(shutil.copytree(folder, tmp_path / "copy")) is not one
    first, second = (Resident(data.train, Order(32, 8, seed), CPU) for seed, data in enumerate((one, other)))
    assert first.whole is second.whole
    assert Resident(one.test, Order(12, 8), CPU).whole is not first.whole
    assert Resident(Arrays(one.train.images, one.train.labels + 1), Order(32, 8), CPU).whole is not first.whole
    split = one.train
    del first, second
    gc.collect()
    assert in_use(split, CPU) is None


def test_a_network_trains_on_what_is_stored_now(small_images, tmp_path):
    prepared.save(small_images, tmp_path, name="small", validation=0)
    before = prepared.load(tmp_path)
    prepared.save(small_images, tmp_path, name="small", validation=8)
    assert len(prepared.load(tmp_path).train) == len(before.train) - 8


def test_a_gpu_scores_more_images_at_once_if_they_are_small(split, tmp_path):
    large = Arrays(np.zeros((2, 3, 64, 64), np.uint8), np.zeros(2, np.int64))
    found = [images_at_once(data, torch.device(device)) for data in (split, large) for device in ("cpu", "cuda")]
    assert found == [500, 2500, 500, 500]
