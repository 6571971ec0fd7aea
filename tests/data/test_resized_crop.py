"""RandomResizedCrop: the resize is torchvision's, the windows are distributed as torchvision's."""

import pytest
import torch
from scipy import stats
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as TF

from reslab.config.schema import bind
from reslab.data.augment.draws import Draws
from reslab.data.augment.recipe import AUGMENTATIONS
from reslab.data.augment.resized_crop import aspect_windows, random_resized_crop, resized_crop, scale_jitter, scaled_windows
from reslab.errors import UserError


def images(count: int, height: int, width: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 3, height, width), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize(("top", "left", "height", "width"), [(0, 0, 20, 24), (3, 5, 7, 9), (19, 23, 1, 1), (2, 0, 5, 24)])
def test_the_resize_is_torchvisions(top, left, height, width):
    batch = images(2, 20, 24)
    edges = {"top": top, "left": left, "height": height, "width": width}
    window = {key: torch.tensor([edge] * 2) for key, edge in edges.items()}
    for dtype, tolerance in ((torch.float64, 1e-3), (torch.uint8, 1)):  # torchvision's weights are float32
        given = batch.to(dtype)
        expected = TF.resized_crop(given, top, left, height, width, size=[20, 24], antialias=True)
        torch.testing.assert_close(resized_crop(given, **window), expected, rtol=0, atol=tolerance)


def test_windows_are_distributed_as_torchvisions():
    count, size = 4_000, (24, 32)
    draws = Draws(0, 1, "test", torch.arange(count))
    _, _, height, width = aspect_windows(draws, *torch.tensor(size).expand(count, 2).T)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        transform = v2.RandomResizedCrop(size)
        drawn = [transform.make_params([torch.zeros(1, *size)]) for _ in range(count)]
    for ours, key in ((height, "height"), (width, "width")):
        theirs = torch.tensor([window[key] for window in drawn])
        table = torch.stack([torch.bincount(values, minlength=40) for values in (ours, theirs)])
        assert stats.chi2_contingency(table[:, table.sum(0) > 10].numpy()).pvalue > 0.01


def test_every_place_of_a_window_is_reached_equally():
    """A ramp tells where the window lies: windows of 4x4 in 8x8."""
    count = 9_000
    ramp = (torch.arange(8)[:, None] * 100.0 + torch.arange(8)).expand(count, 1, 8, 8).double()
    out = random_resized_crop(ramp, Draws(0, 1, "test", torch.arange(count)), scale=(0.25, 0.25), ratio=(1.0, 1.0))
    values, counts = out.mean((1, 2, 3)).mul(1e6).round().unique(return_counts=True)
    assert len(values) == 25
    assert stats.chisquare(counts.numpy()).pvalue > 0.01


def test_where_nothing_fits_the_central_window_of_the_nearest_aspect_is_taken():
    batch = images(3, 8, 32)
    out = random_resized_crop(batch, Draws(0, 1, "test", torch.arange(3)), scale=(1.0, 1.0), ratio=(1.0, 1.0))
    size = torch.tensor([8, 32]).expand(3, 2).T
    _, _, height, width = aspect_windows(Draws(0, 1, "test", torch.arange(3)), *size, scale=(1.0, 1.0), ratio=(1.0, 1.0))
    assert (height.tolist(), width.tolist()) == ([8] * 3, [8] * 3)
    assert out.shape == batch.shape


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": [0.5, 0.2]}, r"scale: \[0.5, 0.2\] is not allowed.*from low to high"),
        ({"ratio": [2.0, 1.0]}, "from low to high"),
        ({"scale": [0.5, 1.2]}, r"scale\[1\]: 1.2 is not allowed"),
        ({"ratio": [1.0]}, "at least 2 items"),
    ],
)
def test_ranges_go_from_low_to_high(options, message):
    with pytest.raises(UserError, match=message):
        bind(AUGMENTATIONS, {"name": "random_resized_crop"} | options, "augment[0]")


def test_scale_jitter_is_the_papers_resize_and_crop():
    """The shorter side is uniform in `shorter`, and the window shows `side` of its pixels, at any place."""
    count, rows, columns = 40_000, 480, 640
    size = torch.tensor([rows, columns]).expand(count, 2).T
    top, left, height, width = scaled_windows(Draws(3, 1, "test", torch.arange(count)), *size, shorter=(6, 9), side=4)
    assert torch.equal(height, width)
    found, counts = height.unique(return_counts=True)
    assert found.tolist() == [213, 240, 274, 320]  # 480 * 4 / 9, 8, 7, 6
    assert stats.chisquare(counts.numpy()).pvalue > 0.01
    for place, room in ((top, rows - height), (left, columns - width)):
        assert (place >= 0).all()
        assert (place <= room).all()
        assert stats.kstest(((place + 0.5) / (room + 1)).numpy(), "uniform").pvalue > 0.01


def test_scale_jitter_zooms():
    batch = images(2, 8, 8)
    draws = Draws(0, 1, "test", torch.arange(2))
    assert torch.equal(scale_jitter(batch, draws, shorter=(8, 8), side=8), batch)
    zoomed = scale_jitter(batch, draws, shorter=(16, 16), side=8)
    top, left, *_ = (int(edge[1]) for edge in scaled_windows(draws, *torch.tensor([8, 8]).expand(2, 2).T, shorter=(16, 16), side=8))
    expected = TF.resized_crop(batch[1:], top, left, 4, 4, size=[8, 8], antialias=True)
    torch.testing.assert_close(zoomed[1:], expected, rtol=0, atol=1)


def test_a_window_larger_than_the_least_image_is_refused():
    with pytest.raises(UserError, match="side 300 is not allowed: images of 256 pixels"):
        scale_jitter(images(1, 8, 8), Draws(0, 1, "test", torch.arange(1)), side=300)
