"""Hash-based draws: reproducible, independent of the batch, uniform, uncorrelated."""

import torch
from scipy import stats

from reslab.data.augment.draws import Draws, normal
from reslab.data.batches.order import shuffled
from reslab.rng import key_of


def uniform(index, *, seed=0, epoch=1, stream="s", name="n"):
    return Draws(seed, epoch, stream, torch.as_tensor(index)).uniform(name)


def test_known_values_never_change():
    """A change of the hash would silently change every augmented run."""
    assert key_of(0, 1, "pad_crop", "top") == 0xA78CECD82E90D667


def test_a_samples_draw_does_not_depend_on_its_batch():
    whole = uniform(range(1000))
    assert torch.equal(whole[[3, 500, 999]], uniform([3, 500, 999]))


def test_every_part_of_the_key_matters():
    index = range(100)
    base = uniform(index)
    for other in ({"seed": 1}, {"epoch": 2}, {"stream": "t"}, {"name": "m"}):
        assert not torch.equal(base, uniform(index, **other))
    assert torch.equal(base, uniform(index))


def test_uniform_distribution():
    values = uniform(range(100_000)).numpy()
    assert values.min() >= 0 and values.max() < 1
    assert stats.kstest(values, "uniform").pvalue > 0.01


def test_neighbours_epochs_and_streams_are_uncorrelated():
    index = range(50_000)
    base = uniform(index)
    others = [
        uniform(index, epoch=2),
        uniform(index, stream="t"),
        uniform(index, name="m"),
        uniform(range(1, 50_001)),
        uniform(index, seed=1),
    ]
    for other in others:
        assert abs(torch.corrcoef(torch.stack([base, other]))[0, 1]) < 4 / 50_000**0.5


def test_integers_reach_every_value_equally():
    draws = Draws(0, 1, "s", torch.arange(90_000)).integers("n", 9)
    counts = torch.bincount(draws, minlength=9)
    assert len(counts) == 9
    assert stats.chisquare(counts.numpy()).pvalue > 0.01


def test_shuffles_are_permutations_that_differ_by_epoch_and_seed():
    first = shuffled(100, seed=0, epoch=1)
    assert sorted(first.tolist()) == list(range(100))
    assert torch.equal(first, shuffled(100, seed=0, epoch=1))
    assert not torch.equal(first, shuffled(100, seed=0, epoch=2))
    assert not torch.equal(first, shuffled(100, seed=1, epoch=1))


def test_normal_numbers_are_the_quantiles_of_uniform_ones():
    numbers = torch.cat([torch.linspace(0, 1 - 2**-53, 1001, dtype=torch.float64), torch.tensor([2.0**-54, 1e-9]).double()])
    expected = torch.from_numpy(stats.norm.ppf(numbers.clamp(min=2.0**-54).numpy()))
    torch.testing.assert_close(normal(numbers), expected, rtol=0, atol=1e-7)
    assert normal(numbers).isfinite().all()
