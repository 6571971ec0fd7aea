"""What a machine can do at most, what a network needs at least, and how much of it a loop reached."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch
from torch import nn

from contest.clocks import wait_for
from loops.job import Job
from reslab import config
from reslab.experiment.networks import build_network
from reslab.models.analysis.count import count
from reslab.training.execution import hardware
from reslab.training.precision import PRECISIONS

# Element moves for each element of a convolution's output if everything else is fused. Forward 6: written and read, statistics
# read, normalisation read and written, half a residual; backward 11: reduction 3, pointwise 4, two gradients 2 each, half a
# residual.
# What inductor's fusion reaches without epilogues written by hand; caches can make the true traffic smaller.
FUSED_MOVES = 17
SECONDS = 0.5


@dataclass(frozen=True)
class Needs:
    """What one training image costs at least."""

    flops: float  # two for each multiply-add; forward, gradient of inputs, gradient of weights
    bytes: float


@dataclass(frozen=True)
class Ceilings:
    """The fastest matrix product (FLOP/s) and copy (bytes/s, read and written) of a machine at a precision."""

    flops: float
    bytes: float


def needs(sections: dict, facts: dict) -> Needs:
    """Counted on the meta device: FLOPs from `reslab.models.count`, bytes by the rule of fused traffic."""
    with torch.device("meta"):
        network = build_network(sections["model"], facts, seed=0)
    outputs = 0

    def add(module: nn.Module, inputs: tuple, output: torch.Tensor) -> None:
        nonlocal outputs
        outputs += output.numel()

    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(add)
    counted = count(network, tuple(facts["image_shape"]))
    precision = PRECISIONS[sections["train"].get("precision", "float32")]
    size = (precision.autocast or precision.weights).itemsize
    return Needs(flops=6.0 * counted["multiply_adds"], bytes=float(FUSED_MOVES * outputs * size))


def ceilings(job: Job) -> dict:
    """Measure both, with the threads and the numerics of ours; to be called in a process of its own."""
    experiment = config.from_sections("benchmark", job.sections)
    device, precision = torch.device(job.device), PRECISIONS[experiment.train.precision]
    hardware.prepare(device, precision=experiment.train.precision, fast=True)
    dtype = precision.autocast or precision.weights
    side, size = (8192, 1 << 30) if device.type == "cuda" else (1024, 1 << 28)
    left, right = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    source = torch.zeros(size, dtype=torch.uint8, device=device)
    target, product = torch.empty_like(source), torch.empty_like(left)
    return asdict(
        Ceilings(
            flops=2 * side**3 / fastest(lambda: torch.matmul(left, right, out=product), device),
            bytes=2 * size / fastest(lambda: target.copy_(source), device),
        )
    )


def fastest(function: Callable[[], object], device: torch.device) -> float:
    """The least seconds of one call among calls that take half a second together, after one that does not count.

    On a CPU they are CPU seconds of this one thread, as everything that is compared with them.
    """
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    function()
    best, until = float("inf"), time.perf_counter() + SECONDS
    while time.perf_counter() < until:
        wait_for(device)
        began = clock()
        function()
        wait_for(device)
        best = min(best, clock() - began)
    return best


def reached(rate: float, need: Needs) -> dict[str, float]:
    """FLOP/s and bytes/s at this rate (of wall clock on a GPU, of CPU seconds on a CPU), and the FLOPs for each byte."""
    return {
        "flops": rate * need.flops,
        "bytes": rate * need.bytes,
        "intensity": need.flops / need.bytes,
    }
