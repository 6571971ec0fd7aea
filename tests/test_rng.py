"""The hash, and the numbers that random layers make of it."""

import torch
from scipy import stats

from reslab.rng import NetworkDraws, advance, mix, mixed, signed


def test_known_value_never_changes():
    """A change of the hash would silently change every run."""
    assert mix(0x9E3779B97F4A7C15) == 0xE220A8397B1DCDAF  # splitmix64's first output for seed 0


def test_tensor_hash_equals_integer_hash():
    values = [0, 1, 12345678901234567, (1 << 63) + 17, (1 << 64) - 1]
    tensor = torch.tensor([signed(value) for value in values])
    assert mixed(tensor).tolist() == [signed(mix(value)) for value in values]


def network_draws(seed: int) -> NetworkDraws:
    torch.manual_seed(seed)
    draws = NetworkDraws()
    draws.initialize()
    return draws


def test_network_draws_are_uniform():
    values = network_draws(0).uniform(100_000).numpy()
    assert values.min() >= 0 and values.max() < 1
    assert stats.kstest(values, "uniform").pvalue > 0.01


def test_steps_streams_and_layers_are_uncorrelated():
    count = 50_000
    first, second = network_draws(0), network_draws(1)
    series = [first.uniform(count), first.uniform(count, 1), second.uniform(count)]
    advance(torch.nn.Sequential(first))
    series += [first.uniform(count), first.uniform(count, 1)]
    correlation = torch.corrcoef(torch.stack(series)) - torch.eye(len(series))
    assert correlation.abs().max() < 4.5 / count**0.5


def test_one_position_over_many_steps_is_uniform():
    draws, values = network_draws(2), []
    for _ in range(3000):
        advance(draws)
        values.append(draws.uniform(2)[1].item())
    assert stats.kstest(values, "uniform").pvalue > 0.01
