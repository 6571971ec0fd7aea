"""Epochs over resident tensors: every sample once, the same in any batch size, normalised as stated."""

import numpy as np
import pytest
import torch

from reslab.data.augment.geometry import flip
from reslab.data.augment.recipe import Recipe, named_streams
from reslab.data.batches.held_out import HeldOutBatches
from reslab.data.batches.order import Order
from reslab.data.batches.resident import Resident
from reslab.data.batches.training import TrainingBatches
from reslab.data.normalize import Normalize
from reslab.data.prepared.splits import Arrays

CPU = torch.device("cpu")


@pytest.fixture
def data() -> Arrays:
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (50, 3, 4, 4), dtype=np.uint8)
    return Arrays(images, np.arange(50))


@pytest.fixture
def normalize() -> Normalize:
    return Normalize([0.5, 0.4, 0.3], [0.2, 0.25, 0.3], device=CPU, dtype=torch.float64)


def epoch(data, normalize, number=1, batch_size=16, drop_last=False, seed=0):
    raw = Resident(data, Order(len(data), batch_size, seed, drop_last=drop_last), CPU)
    return list(TrainingBatches(raw, Recipe([("flip", flip)]), normalize).iterate(number))


def test_every_sample_once_and_the_tail_kept(data, normalize):
    batches = epoch(data, normalize)
    assert [len(labels) for _, labels in batches] == [16, 16, 16, 2]
    assert sorted(torch.cat([labels for _, labels in batches]).tolist()) == list(range(50))
    assert [len(labels) for _, labels in epoch(data, normalize, drop_last=True)] == [16, 16, 16]


def test_images_do_not_depend_on_the_batch_size(data, normalize):
    small = torch.cat([images for images, _ in epoch(data, normalize, batch_size=7)])
    large = torch.cat([images for images, _ in epoch(data, normalize, batch_size=50)])
    assert torch.equal(small, large)


def test_epochs_and_seeds_differ_and_repeat(data, normalize):
    first = torch.cat([labels for _, labels in epoch(data, normalize)])
    assert torch.equal(first, torch.cat([labels for _, labels in epoch(data, normalize)]))
    assert not torch.equal(first, torch.cat([labels for _, labels in epoch(data, normalize, number=2)]))
    assert not torch.equal(first, torch.cat([labels for _, labels in epoch(data, normalize, seed=1)]))


def test_normalisation(data, normalize):
    (images, _), *_ = HeldOutBatches(data, normalize, CPU).iterate()
    mean, std = torch.tensor([0.5, 0.4, 0.3]).double()[:, None, None], torch.tensor([0.2, 0.25, 0.3]).double()[:, None, None]
    torch.testing.assert_close(images, (torch.from_numpy(data.images).double() / 255 - mean) / std, rtol=1e-6, atol=1e-6)
    assert images.is_contiguous(memory_format=torch.channels_last)


def test_normalisation_by_a_mean_image(data):
    mean = torch.rand(3, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    normalize = Normalize(mean.tolist(), [0.2, 0.25, 0.3], device=CPU, dtype=torch.float64)
    images = torch.from_numpy(data.images)
    expected = (images.double() / 255 - mean) / torch.tensor([0.2, 0.25, 0.3], dtype=torch.float64)[:, None, None]
    torch.testing.assert_close(normalize(images), expected)
    assert normalize(images).is_contiguous(memory_format=torch.channels_last)


def test_the_same_augmentation_twice_draws_twice():
    streams = named_streams([("flip", flip), ("flip", flip), ("pad_crop", flip)])
    assert [name for name, _ in streams] == ["flip", "flip#2", "pad_crop"]
