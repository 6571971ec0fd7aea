"""Mixing: targets that say what is in the images, and shares distributed as the papers define them."""

import pytest
import torch
from scipy import stats

from reslab.config.schema import bind
from reslab.data.augment.beta import beta
from reslab.data.augment.draws import Draws
from reslab.data.augment.mixing import cutmix, dual_cutout, mixup, ricap
from reslab.data.augment.recipe import MIXINGS
from reslab.errors import UserError
from reslab.targets import MixedTargets

REQUIRED = {"dual_cutout": {"size": 3}}
MIXED = ("cutmix", "mixup", "ricap")
LEVELS = ("batch", "image")


def draws(count: int, epoch: int = 1) -> Draws:
    return Draws(0, epoch, "test", torch.arange(count))


def own_colours(count: int, side: int = 8, dtype=torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    """Images of one colour each, and the colour as label: what came from where can be read off."""
    labels = torch.arange(count)
    return labels[:, None, None, None].expand(count, 2, side, side).to(dtype).contiguous(), labels


def shares(images: torch.Tensor, targets: MixedTargets) -> torch.Tensor:
    """The weight of every label in every image by counting its pixels, (B, B)."""
    count = len(images)
    return torch.stack([(images[:, 0] == label).flatten(1).double().mean(1) for label in range(count)], 1)


def stated(targets: MixedTargets, count: int) -> torch.Tensor:
    """The weight of every label in every image by the targets, (B, B)."""
    return torch.zeros(count, count, dtype=torch.float64).scatter_add_(1, targets.labels, targets.weights.double())


FLOATS = (torch.float32, torch.float64, torch.bfloat16)


@pytest.mark.parametrize(
    ("name", "dtype"), [(name, dtype) for name in MIXINGS for dtype in (*FLOATS, *(() if name == "mixup" else (torch.uint8,)))]
)
def test_keeps_type_and_size_and_leaves_the_input_alone(name, dtype):
    images, labels = own_colours(16, dtype=dtype)
    before = images.clone()
    out, targets = MIXINGS[name](images, labels, draws(16), **REQUIRED.get(name, {}))
    assert out.shape == (images.shape if name in MIXED else (16, 2, *images.shape[1:]))
    assert out.dtype == dtype
    assert images.min() <= out.min() and out.max() <= images.max()
    assert torch.equal(images, before)
    assert torch.equal(labels, torch.arange(16))
    if name in MIXED:
        assert targets.weights.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
        assert targets.labels.dtype == torch.int64


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", MIXED)
def test_every_images_weights_sum_to_one(name, level):
    for epoch in range(20):
        _, targets = MIXINGS[name](*own_colours(32), draws(32, epoch), level=level)
        torch.testing.assert_close(targets.weights.sum(1), torch.ones(32, dtype=torch.float64), rtol=0, atol=1e-12)
        assert targets.weights.min() >= 0


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", ["cutmix", "ricap"])
def test_weights_are_the_areas_that_the_pixels_show(name, level):
    for epoch in range(30):
        images, labels = own_colours(12, side=9)
        mixed, targets = MIXINGS[name](images, labels, draws(12, epoch), level=level)
        torch.testing.assert_close(shares(mixed, targets), stated(targets, 12), rtol=0, atol=1e-9)


@pytest.mark.parametrize("level", LEVELS)
def test_mixup_is_the_weighted_mean_of_the_images_that_the_labels_name(level):
    for epoch in range(10):
        images, labels = own_colours(12)
        mixed, targets = mixup(images, labels, draws(12, epoch), level=level)
        expected = (targets.weights * targets.labels).sum(1)
        torch.testing.assert_close(mixed, expected[:, None, None, None].expand_as(mixed))


@pytest.mark.parametrize("name", MIXED)
def test_one_number_for_the_batch_or_one_for_each_image(name):
    one = MIXINGS[name](*own_colours(64), draws(64), level="batch")[1].weights
    each = MIXINGS[name](*own_colours(64), draws(64), level="image")[1].weights
    assert torch.equal(one, one[:1].expand_as(one))
    assert len(each.unique(dim=0)) > 10


@pytest.mark.parametrize("name", MIXED)
def test_a_batch_is_mixed_by_what_is_in_it(name):
    """Not by its place in the epoch; another epoch, seed or batch draws anew."""
    images, labels = own_colours(32)
    first, targets = MIXINGS[name](images, labels, draws(32))
    again, same = MIXINGS[name](images, labels, draws(32))
    assert torch.equal(first, again)
    assert torch.equal(targets.weights, same.weights)
    for other in (draws(32, epoch=2), Draws(1, 1, "test", torch.arange(32)), Draws(0, 1, "test", torch.arange(1, 33))):
        assert not torch.equal(MIXINGS[name](images, labels, other)[1].weights, targets.weights)
    order = torch.randperm(32, generator=torch.Generator().manual_seed(0))
    shuffled = MIXINGS[name](images[order], labels[order], Draws(0, 1, "test", order))[1]
    assert torch.equal(shuffled.weights, targets.weights)  # the batch's number does not depend on the order


def batch_lambdas(mix, count: int = 2_000, **options) -> torch.Tensor:
    """The own label's weight in `count` small batches."""
    images, labels = own_colours(4)
    return torch.stack([mix(images, labels, draws(4, epoch), **options)[1].weights[0, 0] for epoch in range(count)])


@pytest.mark.parametrize("alpha", [0.2, 1.0, 2.0])
def test_lambda_is_beta_distributed(alpha):
    images, labels = own_colours(20_000, side=1)
    each = mixup(images, labels, draws(20_000), alpha=alpha, level="image")[1].weights[:, 0]
    assert stats.kstest(each.numpy(), "beta", (alpha, alpha)).pvalue > 0.01
    for mix, options in ((mixup, {}), (cutmix, {"weight": "drawn"})):
        assert stats.kstest(batch_lambdas(mix, alpha=alpha, **options).numpy(), "beta", (alpha, alpha)).pvalue > 0.01


@pytest.mark.parametrize("alpha", [0.2, 0.3, 1.0, 5.0])
def test_the_table_of_beta_numbers(alpha):
    values = beta(Draws(0, 1, "b", torch.arange(100_000)).uniform("n"), alpha).numpy()
    assert values.min() >= 0 and values.max() <= 1
    assert stats.kstest(values, "beta", (alpha, alpha)).pvalue > 0.01


def test_partners_are_a_uniform_permutation():
    images, labels = own_colours(3)
    found = [tuple(mixup(images, labels, draws(3, epoch))[1].labels[:, 1].tolist()) for epoch in range(3_000)]
    counts = [found.count(order) for order in sorted(set(found))]
    assert len(counts) == 6
    assert stats.chisquare(counts).pvalue > 0.01


def test_the_drawn_weight_of_cutmix_is_not_the_clipped_area():
    """The published behaviour: the same images, and lambda as drawn."""
    images, labels = own_colours(32)
    corrected, area = cutmix(images, labels, draws(32), level="image")
    published, drawn = cutmix(images, labels, draws(32), level="image", weight="drawn")
    assert torch.equal(corrected, published)
    assert (area.weights[:, 0] > drawn.weights[:, 0] + 0.05).any()


def test_cutmix_rectangles_are_those_of_the_definition():
    """Centre uniform, sides sqrt(1 - lambda) of the image's, clipped then rounded: areas against numbers of another generator."""
    count, side = 20_000, 16
    images, labels = own_colours(count, side=1)
    images = images.expand(-1, -1, side, side)
    weights = cutmix(images, labels, draws(count), level="image")[1].weights[:, 1]
    random = torch.rand(3, count, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    half = side * (1 - random[0]).sqrt() / 2
    sides = [(centre * side + half).clamp(max=side).round() - (centre * side - half).clamp(min=0).round() for centre in random[1:]]
    expected = sides[0] * sides[1] / side**2
    assert stats.ks_2samp(weights.numpy(), expected.numpy()).pvalue > 0.01


def test_ricap_patches_are_crops_of_whole_images_at_uniform_places():
    """Each pixel tells its image and place; a patch keeps the offset between its place there and here."""
    count, side = 64, 6
    place = torch.arange(side * side).view(side, side)
    images = (torch.arange(count)[:, None, None] * 100 + place)[:, None].double()
    seen = set()
    for epoch in range(200):
        mixed, targets = ricap(images, torch.arange(count), draws(count, epoch), level="image")
        row_shift = mixed[:, 0].long() % 100 // side - torch.arange(side)[:, None]
        column_shift = mixed[:, 0].long() % 100 % side - torch.arange(side)
        source = mixed[:, 0].long() // 100
        areas = (targets.weights * side * side).round().long()
        for i in range(count):
            patches = torch.stack([source[i], row_shift[i], column_shift[i]]).flatten(1).unique(dim=1)
            assert patches.shape[1] <= int((areas[i] > 0).sum())
            assert set(patches[0].tolist()) <= set(targets.labels[i][areas[i] > 0].tolist())
            seen |= {tuple(shift) for shift in patches[1:].T.tolist()}
    assert seen == {(down, across) for down in range(-5, 6) for across in range(-5, 6)}


def test_ricap_corners_and_origins_are_distributed_as_defined():
    count, side, alpha = 20_000, 8, 0.3
    place = torch.arange(side * side).view(side, side)
    images = place.expand(count, 1, side, side).double()
    mixed, targets = ricap(images, torch.arange(count), draws(count), beta=alpha, level="image")
    heights = targets.weights * side * side
    upper = heights[:, 0] + heights[:, 1]  # rows times side
    row = (upper / side).round().long()
    edges = torch.tensor([0.0, *[(k + 0.5) / side for k in range(side)], 1.0], dtype=torch.float64)
    expected = torch.from_numpy(stats.beta(alpha, alpha).cdf(edges.numpy())).diff() * count
    assert stats.chisquare(torch.bincount(row, minlength=side + 1).numpy(), expected.numpy()).pvalue > 0.01
    first = mixed[:, 0, 0, 0].long()[(heights[:, 0] > 0) & (row == 4)] // side  # origin row of a patch of 4 rows: 0..4
    assert stats.chisquare(torch.bincount(first, minlength=5).numpy()).pvalue > 0.01


def test_two_views_of_dual_cutout_are_cut_out_independently():
    images = torch.ones(2_000, 3, 8, 8, dtype=torch.float64)
    views, labels = dual_cutout(images, torch.arange(2_000), draws(2_000), size=4)
    assert torch.equal(labels, torch.arange(2_000))
    assert views[:, 0].is_contiguous(memory_format=torch.channels_last)
    centres = [(view[:, 0] == 0).double().argmax(2).amax(1) for view in views.unbind(1)]
    assert abs(torch.corrcoef(torch.stack(centres))[0, 1]) < 4 / 2_000**0.5
    assert not torch.equal(views[:, 0], views[:, 1])


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"name": "mixup", "alpha": 0.0}, r"augment\[3\]\.alpha: 0\.0 is not allowed"),
        ({"name": "cutmix", "weight": "wrong"}, r"augment\[3\]\.weight: 'wrong' is not allowed"),
        ({"name": "ricap", "level": "epoch"}, r"augment\[3\]\.level"),
        ({"name": "dual_cutout"}, "missing key 'size'"),
    ],
)
def test_impossible_options_are_refused(spec, message):
    with pytest.raises(UserError, match=message):
        bind(MIXINGS, spec, "augment[3]")
