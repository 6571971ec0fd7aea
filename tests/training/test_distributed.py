"""One network over several processes: the same numbers as one process, to rounding in float64, whatever is done in a step."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from group import CASES, EQUAL, NORMS, PER_PROCESS, SIZES, ghosts_of, trained
from project import built_once
from torch import nn

from reslab.errors import UserError
from reslab.runs.ranks import ALONE, Ranks
from reslab.training.distributed import cut
from reslab.training.execution.compiler import compiled
from reslab.training.shared_norm import share_statistics

SEVERAL = SIZES[1:]
GROUP = Path(__file__).parents[1] / "support" / "group.py"


@pytest.fixture(scope="module")
def outcomes(shared) -> Path:
    """What each number of processes has made of all cases."""

    def build(folder: Path) -> None:
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        subprocess.run([sys.executable, str(GROUP), str(folder)], env=environment, check=True)

    return built_once(shared / "group" / "outcomes", build)


def of_case(outcomes: Path, size: int, case: str) -> dict:
    return torch.load(outcomes / f"{size}.pt")["found"][case]


def assert_close(found: dict, expected: dict) -> None:
    assert found["position"] == expected["position"]
    assert found["state"].keys() == expected["state"].keys()
    for name, tensor in expected["state"].items():
        torch.testing.assert_close(
            found["state"][name], tensor, rtol=1e-9, atol=1e-9, msg=lambda text, name=name: f"{name}: {text}"
        )
    for row, other in zip(found["history"], expected["history"], strict=True):
        assert row == pytest.approx(other, rel=1e-9, abs=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("case", EQUAL)
@pytest.mark.parametrize("size", SEVERAL)
def test_several_processes_train_the_network_of_one(outcomes, size, case):
    """Weights, statistics, averages, losses, errors and scores; the last batch has fewer images than there are processes."""
    assert_close(of_case(outcomes, size, case), of_case(outcomes, 1, case))


@pytest.mark.slow
@pytest.mark.parametrize("name", NORMS)
@pytest.mark.parametrize("size", SEVERAL)
def test_batch_norms_of_all_kinds_are_shared(outcomes, size, name):
    alone, shared = (torch.load(outcomes / f"{count}.pt")["norms"][name] for count in (1, size))
    torch.testing.assert_close(shared, alone, rtol=1e-9, atol=1e-9)


class Activated(nn.BatchNorm2d):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x).relu()


class Named(nn.BatchNorm2d):
    """As its parent in all that it computes."""


def test_batch_norms_that_cannot_be_shared_are_refused_by_name():
    two = Ranks(0, 2)
    with pytest.raises(UserError, match="Activated has a forward pass of its own"):
        share_statistics(nn.Sequential(nn.BatchNorm2d(3), Activated(3)), two)
    with pytest.raises(UserError, match="BatchNorm1d without running statistics"):
        share_statistics(nn.BatchNorm1d(3, track_running_stats=False), two)
    model = nn.Sequential(Named(3), nn.GroupNorm(1, 3))
    share_statistics(model, two)
    assert isinstance(model[0], Named)
    x = torch.rand(2, 3, 4, 4)
    torch.testing.assert_close(model.eval()(x), nn.Sequential(nn.BatchNorm2d(3).eval(), model[1])(x))


class Branches(nn.Module):
    """Two branches, between whose batch norms a compiler may choose any order."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.first, self.second = self.layer(3, 4), self.layer(4, 32), self.layer(32, 6, 1)
        self.third, self.fourth, self.linear = self.layer(4, 7, 1), self.layer(7, 9), nn.Linear(15, 2)

    def layer(self, inputs: int, outputs: int, size: int = 3) -> nn.Module:
        return nn.Sequential(nn.Conv2d(inputs, outputs, size, padding=size // 2), nn.BatchNorm2d(outputs), nn.ReLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        stem = self.stem(x)
        parts = self.second(self.first(stem)), self.fourth(self.third(stem))
        return self.linear(torch.cat(parts, 1).mean((2, 3)))


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("g++"), reason="needs g++")
def test_compiled_code_adds_up_in_the_order_of_plain_code(monkeypatch):
    """A process may run compiled code where another does not, whose part has another size: sums would be mixed up."""
    sums = []
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda tensor: sums.append(tuple(tensor.shape)))
    torch.manual_seed(0)
    model = Branches()
    order, images, found = share_statistics(model, Ranks(0, 2)), torch.rand(6, 3, 8, 8), {}
    for name, network in {"plain": model, "compiled": compiled(model, torch.device("cpu"), fullgraph=True)}.items():
        with order:
            network(images).square().mean().backward()
        found[name] = sums.copy()
        sums.clear()
    channels = [4, 32, 6, 7, 9]
    assert found["plain"] == [(2, 3, c) for c in channels] + [(2, c) for c in reversed(channels)]
    assert found["compiled"] == found["plain"]


@pytest.mark.slow
@pytest.mark.parametrize("size", SEVERAL)
def test_batch_norm_of_each_process_is_ghost_batch_norm(outcomes, size):
    (case,) = PER_PROCESS
    expected = trained(ghosts_of(PER_PROCESS[case], size), ALONE)
    assert_close(of_case(outcomes, size, case), expected)
    with pytest.raises(AssertionError):
        assert_close(of_case(outcomes, 1, case), expected)


@pytest.mark.slow
@pytest.mark.parametrize("size", SEVERAL)
def test_all_processes_hold_the_same_bits_and_find_them_again(outcomes, size):
    assert torch.load(outcomes / f"{size}.pt")["equal"]
    first, again = (of_case(outcomes, size, case) for case in (next(iter(CASES)), "again"))
    assert first["history"] == again["history"]
    assert all(torch.equal(tensor, again["state"][name]) for name, tensor in first["state"].items())


@pytest.mark.slow
def test_a_run_goes_on_with_another_number_of_processes(outcomes):
    """Two, one and three in turn, each from the checkpoint in the middle of an epoch."""
    assert_close(torch.load(outcomes / "resumed.pt"), torch.load(outcomes / "straight" / "resumed.pt"))


@pytest.mark.parametrize("size", [1, 2, 5, 13, 500])
@pytest.mark.parametrize("unit", [1, 4])
@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_the_parts_of_a_batch_are_all_of_it_in_order(size, unit, count):
    parts = Ranks(0, count).parts(size, unit)
    assert [image for part in parts for image in range(size)[part]] == list(range(size))
    assert all(part.start % unit == 0 for part in parts if part.start < size)
    units = [-(-(part.stop - part.start) // unit) for part in parts]
    assert max(units) - min(units) <= 1


def test_every_ghost_batch_has_one_process():
    cuts = [cut(18, Ranks(rank, 3), ghost_batch_size=4, per_process=False) for rank in range(3)]
    assert [list(made.mine) for made in cuts] == [[0], [1, 2], [3, 4]]
    assert {made.chunks for made in cuts} == {5}
