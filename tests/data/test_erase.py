"""Cutout and Random Erasing: the exact places, sizes and fills of their definitions."""

import math

import pytest
import torch
from scipy import stats

from reslab.config.schema import bind
from reslab.data.augment.draws import Draws
from reslab.data.augment.erase import cutout, random_erasing
from reslab.data.augment.recipe import AUGMENTATIONS
from reslab.errors import UserError


def draws(count: int, epoch: int = 1) -> Draws:
    return Draws(0, epoch, "test", torch.arange(count))


def extents(erased: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """First and last-plus-one erased row of each mask (B, H, W); (0, 0) if none."""
    rows = erased.any(2).int()
    return rows.argmax(1), torch.where(rows.any(1), rows.shape[1] - rows.flip(1).argmax(1), 0)


@pytest.mark.parametrize(("side", "size"), [(8, 4), (8, 3), (7, 4), (7, 1), (5, 8)])
def test_cutout_is_the_clipped_square_around_each_centre_equally_often(side, size):
    """The reference: centre uniform in [0, side + 1) for an even size, [0, side) for an odd one; first pixel centre - size // 2."""
    count = 20_000
    erased = cutout(torch.ones(count, 1, side, side), draws(count), size=size)[:, 0] == 0
    centres = range(side + (size % 2 == 0))
    spans = [(max(centre - size // 2, 0), min(centre - size // 2 + size, side)) for centre in centres]
    expected: dict[tuple, int] = {}
    for top, bottom in spans:
        for left, right in spans:
            empty = top >= bottom or left >= right
            key = (0, 0, 0, 0) if empty else (top, bottom, left, right)
            expected[key] = expected.get(key, 0) + 1
    found = torch.stack([*extents(erased), *extents(erased.mT)], 1)
    found[~erased.flatten(1).any(1)] = 0
    height, width = found[:, 1] - found[:, 0], found[:, 3] - found[:, 2]
    assert torch.equal(erased.flatten(1).sum(1), height * width)  # whole rectangles
    counts = dict.fromkeys(expected, 0)
    for key in map(tuple, found.tolist()):
        counts[key] += 1  # KeyError: a place that the definition does not have
    shares = [share * count / len(centres) ** 2 for share in expected.values()]
    assert stats.chisquare(list(counts.values()), shares).pvalue > 0.01


@pytest.mark.parametrize(("side", "size"), [(6, 4), (6, 3), (6, 6)])
def test_cutout_inside_keeps_the_square_whole_and_reaches_every_place_equally(side, size):
    count = 9_000
    erased = cutout(torch.ones(count, 1, side, side), draws(count), size=size, inside=True)[:, 0] == 0
    assert (erased.flatten(1).sum(1) == size**2).all()
    places = extents(erased)[0] * 10 + extents(erased.mT)[0]
    counts = places.unique(return_counts=True)[1]
    assert len(counts) == (side - size + 1) ** 2
    assert len(counts) == 1 or stats.chisquare(counts.numpy()).pvalue > 0.01


def test_cutout_happens_with_its_probability_and_fills_as_told():
    images = torch.full((10_000, 3, 4, 4), 7, dtype=torch.uint8)
    out = cutout(images, draws(10_000), size=3, probability=0.3, inside=True, fill=200.0)
    hit = (out == 200).flatten(1).any(1)
    assert ((out == 7) | (out == 200)).all()
    assert (out == 200).all(1).flatten(1).sum(1)[hit].eq(9).all()  # in all channels alike
    assert stats.binomtest(int(hit.sum()), 10_000, 0.3).pvalue > 0.01


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 9, "inside": True}, "9 pixels does not fit inside images of 8"),
        ({"size": 3, "fill": 0.5}, "fill 0.5 is not a pixel value"),
        ({"size": 3, "fill": 256.0}, "whole number from 0 to 255"),
        ({"size": 3, "probability": 1.1}, "not allowed"),
    ],
)
def test_impossible_cutouts_are_refused(options, message):
    with pytest.raises(UserError, match=rf"^augment\[2\].*{message}"):
        bind(AUGMENTATIONS, {"name": "cutout"} | options, "augment[2]")(torch.zeros(2, 1, 8, 8, dtype=torch.uint8), draws(2))


def erasing_shapes(side: int, *, area, aspect, scale, count: int = 20_000) -> torch.Tensor:
    """Heights and widths that algorithm 1 accepts, drawn by numpy-like rejection from another generator."""
    generator = torch.Generator().manual_seed(1)
    found: list[tuple[int, int]] = []
    while len(found) < count:
        share, ratio = torch.rand(2, generator=generator, dtype=torch.float64).tolist()
        pixels = (area[0] + (area[1] - area[0]) * share) * side * side
        low, high = (math.log(aspect[0]), math.log(aspect[1])) if scale == "log" else aspect
        drawn = low + (high - low) * ratio
        drawn = math.exp(drawn) if scale == "log" else drawn
        height, width = int(math.sqrt(pixels * drawn)), int(math.sqrt(pixels / drawn))
        if height < side and width < side:
            found.append((height, width))
    return torch.tensor(found)


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_erased_rectangles_have_the_sizes_of_the_algorithm(scale):
    side, count, ranges = 16, 20_000, {"area": (0.02, 0.4), "aspect": (0.3, 1 / 0.3)}
    images = torch.full((count, 1, side, side), -1.0)
    out = random_erasing(images, draws(count), probability=1.0, aspect_scale=scale, **ranges)
    erased = out[:, 0] != -1
    heights = erased.any(2).sum(1)
    widths = erased.any(1).sum(1)
    assert torch.equal(heights * widths, erased.flatten(1).sum(1))
    expected = erasing_shapes(side, scale=scale, **ranges)
    for ours, theirs in ((heights, expected[:, 0]), (widths, expected[:, 1]), (heights * widths, expected.prod(1))):
        table = torch.stack([torch.bincount(values, minlength=side * side) for values in (ours, theirs)])
        assert stats.chi2_contingency(table[:, table.sum(0) > 10].numpy()).pvalue > 0.01


def test_erasing_reaches_every_place_equally():
    """One shape only: area 9/64 of 8x8 and aspect 1 give 3x3, with its corner uniform in 0..4 both ways."""
    count, area = 20_000, 9.5 / 64
    images = torch.full((count, 1, 8, 8), -1.0)
    out = random_erasing(images, draws(count), probability=1.0, area=(area, area), aspect=(1.0, 1.0))
    erased = out[:, 0] != -1
    places = extents(erased)[0] * 10 + extents(erased.mT)[0]
    values, counts = places.unique(return_counts=True)
    assert values.tolist() == [row * 10 + column for row in range(5) for column in range(5)]
    assert stats.chisquare(counts.numpy()).pvalue > 0.01


def test_erasing_happens_with_its_probability_and_never_when_nothing_fits():
    images = torch.full((10_000, 1, 8, 8), -1.0)
    hit = (random_erasing(images, draws(10_000), probability=0.25, area=(0.2, 0.4)) != -1).flatten(1).any(1)
    assert stats.binomtest(int(hit.sum()), 10_000, 0.25).pvalue > 0.01
    whole = random_erasing(images, draws(10_000), probability=1.0, area=(1.0, 1.0), aspect=(1.0, 1.0))
    assert torch.equal(whole, images)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float64])
def test_scalar_fill_is_one_uniform_number_an_image(dtype):
    images = torch.zeros(10_000, 3, 8, 8, dtype=dtype) + (0 if dtype == torch.uint8 else -1)
    out = random_erasing(images, draws(10_000), probability=1.0)
    values = out.flatten(1).amax(1)
    erased = out != images
    assert torch.equal(torch.where(erased, values[:, None, None, None], images), out)
    unit = values[erased.flatten(1).any(1)].double()
    if dtype == torch.uint8:
        assert stats.chisquare(torch.bincount(values.int(), minlength=256)[1:].numpy()).pvalue > 0.01
    else:
        assert stats.kstest(unit.numpy(), "uniform").pvalue > 0.01


def test_pixel_fill_is_uniform_bytes_or_standard_normal():
    for dtype, base in ((torch.uint8, 0), (torch.float64, -99)):
        images = torch.full((200, 3, 16, 16), base, dtype=dtype)
        out = random_erasing(images, draws(200), probability=1.0, fill="pixels")
        values = out[out != images]
        if dtype == torch.uint8:
            assert stats.chisquare(torch.bincount(values.int(), minlength=256)[1:].numpy()).pvalue > 0.01
        else:
            assert stats.kstest(values.numpy(), "norm").pvalue > 0.01


def test_ranges_go_from_low_to_high():
    for options in ({"area": [0.4, 0.02]}, {"aspect": [2.0, 1.0]}):
        with pytest.raises(UserError, match="from low to high"):
            bind(AUGMENTATIONS, {"name": "random_erasing"} | options, "augment[0]")(torch.zeros(2, 1, 8, 8), draws(2))
