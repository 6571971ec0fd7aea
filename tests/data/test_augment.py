"""Augmentations: batched, pure, and distributed as their definition says."""

import pytest
import torch
from scipy import stats
from torch.nn import functional as F

from reslab.data.augment import AUGMENTATIONS, flip, pad_crop
from reslab.data.draws import Draws
from reslab.errors import UserError
from reslab.schema import bind

OPTIONS = {"flip": {}, "pad_crop": {"padding": 2}}


def images(count: int, size: int = 6, channels: int = 3) -> torch.Tensor:
    return torch.randint(1, 256, (count, channels, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def draws(count: int) -> Draws:
    return Draws(0, 1, "test", torch.arange(count))


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_keeps_shape_and_type_and_leaves_the_input_alone(name):
    batch = images(16)
    before = batch.clone()
    out = AUGMENTATIONS[name](batch, draws(16), **OPTIONS[name])
    assert out.shape == batch.shape
    assert out.dtype == torch.uint8
    assert torch.equal(batch, before)
    assert not torch.equal(out, before)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_a_sample_is_augmented_the_same_in_every_batch(name):
    batch = images(32)
    whole = AUGMENTATIONS[name](batch, draws(32), **OPTIONS[name])
    alone = AUGMENTATIONS[name](batch[7:9], Draws(0, 1, "test", torch.tensor([7, 8])), **OPTIONS[name])
    assert torch.equal(whole[7:9], alone)


def test_pad_crop_is_one_of_the_windows_and_reaches_each_equally():
    padding, count = 1, 9_000
    picture = images(1, size=5, channels=1)
    padded = F.pad(picture, (padding,) * 4)
    windows = torch.stack([padded[0, :, y : y + 5, x : x + 5] for y in range(3) for x in range(3)])
    out = pad_crop(picture.expand(count, -1, -1, -1), draws(count), padding=padding)
    which = (out[:, None] == windows[None]).flatten(2).all(2)  # (count, 9)
    assert which.sum(1).eq(1).all()
    assert stats.chisquare(which.sum(0).numpy()).pvalue > 0.01


def test_flip_mirrors_about_half():
    batch = images(10_000, size=3, channels=1)
    out = flip(batch, draws(10_000))
    mirrored = (out == batch.flip(3)).flatten(1).all(1)
    assert ((out == batch).flatten(1).all(1) | mirrored).all()
    assert stats.binomtest(int(mirrored.sum()), 10_000, 0.5).pvalue > 0.01
    assert torch.equal(flip(batch, draws(10_000), probability=0.0), batch)
    assert torch.equal(flip(batch, draws(10_000), probability=1.0), batch.flip(3))


@pytest.mark.parametrize(
    ("name", "options"), [("pad_crop", {"padding": 0}), ("pad_crop", {"padding": 10**6}), ("flip", {"probability": 1.5})]
)
def test_impossible_options_are_refused(name, options):
    with pytest.raises(UserError, match="not allowed"):
        bind(AUGMENTATIONS, {"name": name} | options, "augment[0]")
