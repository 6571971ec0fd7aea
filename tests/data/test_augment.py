"""Augmentations: batched, pure, and distributed as their definition says."""

import pytest
import torch
from scipy import stats
from torch.nn import functional as F

from reslab.config.schema import bind
from reslab.data.augment.draws import Draws
from reslab.data.augment.geometry import flip, pad_crop
from reslab.data.augment.recipe import AUGMENTATIONS
from reslab.errors import UserError

REQUIRED = {"cutout": {"size": 3}, "pad_crop": {"padding": 2}}
BY_TORCHVISION = ("colour_jitter", "rand_augment", "trivial_augment")
PIXELS_ONLY = (*BY_TORCHVISION, "lighting")
NEEDS_RGB = ("lighting",)
STEPS = [(name, {}) for name in AUGMENTATIONS] + [
    ("cutout", {"inside": True, "fill": 128.0}),
    ("pad_crop", {"mode": "reflect"}),
    ("random_erasing", {"fill": "pixels", "aspect_scale": "log"}),
]


def step(name: str, options: dict):
    return bind(AUGMENTATIONS, {"name": name} | REQUIRED.get(name, {}) | options, "augment[0]")


def images(count: int, size: int = 6, channels: int = 3) -> torch.Tensor:
    return torch.randint(1, 256, (count, channels, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def as_floats(batch: torch.Tensor) -> torch.Tensor:
    return batch.double() / 128 - 1


def draws(count: int) -> Draws:
    return Draws(0, 1, "test", torch.arange(count))


SHAPES = [(*case, channels) for case in STEPS for channels in (1, 3) if channels == 3 or case[0] not in NEEDS_RGB]


@pytest.mark.parametrize(("name", "options", "channels"), SHAPES)
def test_keeps_shape_and_type_and_leaves_the_input_alone(name, options, channels):
    batch = images(16, size=8, channels=channels)
    for given in [batch] if name in PIXELS_ONLY else [batch, as_floats(batch), as_floats(batch).bfloat16()]:
        before = given.clone()
        out = step(name, options)(given, draws(16))
        assert out.shape == given.shape
        assert out.dtype == given.dtype
        assert torch.equal(given, before)
        assert not torch.equal(out, before)


@pytest.mark.parametrize(
    ("name", "options"), [(name, options) for name, options in STEPS if options.get("fill") != "pixels" and name not in PIXELS_ONLY]
)
def test_floats_stay_in_range_and_every_value_is_a_pixel_the_fill_or_between(name, options):
    batch = as_floats(images(64, size=8))
    if "fill" in options:
        options = options | {"fill": 0.5}
    out = step(name, options)(batch, draws(64))
    assert batch.min() - 1e-9 <= out.min() and out.max() <= max(batch.max(), 1.0) + 1e-9


@pytest.mark.parametrize(("name", "options"), STEPS)
def test_a_sample_is_augmented_the_same_in_every_batch(name, options):
    batch = images(32, size=8)
    whole = step(name, options)(batch, draws(32))
    alone = step(name, options)(batch[7:9], Draws(0, 1, "test", torch.tensor([7, 8])))
    assert torch.equal(whole[7:9], alone)


@pytest.mark.parametrize(("name", "options"), STEPS)
def test_another_epoch_draws_anew_and_the_global_generator_stays(name, options):
    batch, state = images(32, size=8), torch.random.get_rng_state()
    first = step(name, options)(batch, draws(32))
    assert not torch.equal(first, step(name, options)(batch, Draws(0, 2, "test", torch.arange(32))))
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("name", BY_TORCHVISION)
def test_a_batch_may_share_one_operation(name):
    picture = images(1, size=8).expand(8, -1, -1, -1)
    shared = [step(name, {"level": "batch"})(picture, Draws(0, epoch, "test", torch.arange(8))) for epoch in range(8)]
    own = [step(name, {"level": "image"})(picture, Draws(0, epoch, "test", torch.arange(8))) for epoch in range(8)]
    assert all(torch.equal(batch, batch[:1].expand_as(batch)) for batch in shared)
    assert not all(torch.equal(batch, batch[:1].expand_as(batch)) for batch in own)
    assert len({batch.numpy().tobytes() for batch in shared}) > 4


@pytest.mark.parametrize("name", PIXELS_ONLY)
def test_colours_need_pixels(name):
    with pytest.raises(UserError, match=r"^augment\[0\]: .*before \{name: normalize\}"):
        step(name, {})(as_floats(images(2)), draws(2))


def test_reflection_mirrors_without_repeating_the_edge():
    batch = as_floats(images(400, size=4, channels=1))
    same = batch[:1].expand(400, -1, -1, -1)
    padded = F.pad(same[:1], (3,) * 4, mode="reflect")
    windows = torch.stack([padded[0, :, y : y + 4, x : x + 4] for y in range(7) for x in range(7)])
    out = pad_crop(same, draws(400), padding=3, mode="reflect")
    assert (out[:, None] == windows[None]).flatten(2).all(2).any(1).all()
    assert len(out.unique(dim=0)) == 36  # mirrored at both ends, 4 pixels repeat after 6: the last offset is the first again
    with pytest.raises(UserError, match="more than 4 pixels a side, these have 4x4"):
        pad_crop(batch, draws(400), padding=4, mode="reflect")


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


def test_padding_wider_than_the_image_is_refused():
    images = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)
    with pytest.raises(UserError, match="padding 9 is not allowed: some windows of 8x8 images"):
        pad_crop(images, Draws(0, 1, "s", torch.arange(2)), padding=9)


def test_lighting_shifts_along_the_components_of_imagenets_colours():
    """Covariance of the shifts: V diag((0.1 value)^2) V^T with the published values and vectors, of pixels 0..1."""
    count = 50_000
    grey = torch.full((count, 3, 2, 2), 128, dtype=torch.uint8)
    shifts = (step("lighting", {"std": 1.0})(grey, draws(count)).double() - 128) / 255
    assert (shifts == shifts[:, :, :1, :1]).all()
    values = torch.tensor([0.2175, 0.0188, 0.0045], dtype=torch.float64)
    vectors = torch.tensor(
        [[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]], dtype=torch.float64
    )
    expected = vectors @ values.square().diag() @ vectors.T
    torch.testing.assert_close(shifts[:, :, 0, 0].T.cov(), expected, rtol=0.03, atol=1e-5)
    assert stats.kstest((shifts[:, :, 0, 0] @ vectors[:, 0] / values[0]).numpy(), "norm").statistic < 0.01


def test_lighting_needs_colours():
    with pytest.raises(UserError, match=r"lighting shifts the colours of RGB images; these have 1 channel"):
        step("lighting", {})(images(2, channels=1), draws(2))
