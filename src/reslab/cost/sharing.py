"""The time of a step when several processes train one network: the largest part of the batch, decoding, and what they exchange."""

import math
from collections.abc import Mapping
from typing import NamedTuple

from reslab.config.study import Experiment
from reslab.cost.counts import ForwardWork
from reslab.cost.estimate import evaluation_work, network_work, step_work
from reslab.cost.links import Link, Wiring
from reslab.cost.machines import Machine
from reslab.errors import UserError
from reslab.training.schedule.budget import budget

GRADIENT_BYTES = 4  # of a parameter: gradients are added in float32
SUMS = 1  # small exchanges of every step: the sums of loss and errors
DECODE = 1.2e-3  # CPU seconds of a JPEG of 500x400, cropped to 224x224 (docs/benchmarks.md)
START_UP = 4.0  # seconds from the command to the first exchange (docs/scale.md)
PER_NORM = 2  # of batch norm over the whole batch: one in the forward pass, one in the backward pass


class Shared(NamedTuple):
    """The times of a network that several processes train together, in seconds."""

    processes: int
    compute: float  # of a step, in the process that has most images
    exchange: float  # of a step
    decoding: float  # of a step, while the one before is computed; 0 if nothing is decoded
    seconds: float  # of the whole run
    speed_up: float  # over one process

    @property
    def efficiency(self) -> float:
        """The speed-up as a share of the number of processes."""
        return self.speed_up / self.processes


def exchange_seconds(size: float, processes: int, link: Link) -> float:
    """Adding up `size` bytes in all processes by a ring, each of which sends 2 (P - 1) / P of them in 2 (P - 1) messages.

    Small tensors go by a tree instead, with 2 log2 P messages one after the other, where that is quicker, as in NCCL and gloo.
    Source: Patarasuk and Yuan 2009, "Bandwidth optimal all-reduce algorithms for clusters of workstations", section 3.
    """
    if processes == 1:
        return 0.0
    ring = 2 * (processes - 1) * link.latency + 2 * (processes - 1) / processes * size / link.bandwidth
    levels = 2 * math.ceil(math.log2(processes))
    return min(ring, levels * (link.latency + size / link.bandwidth))


def wired_seconds(size: float, processes: int, wiring: Wiring) -> float:
    """Adding up `size` bytes in all processes, first those of each machine and then the machines, each process its share.

    Source: Jia et al. 2018, "Highly scalable deep learning training system with mixed-precision", arXiv:1807.11205, section 4.2.
    """
    inside = min(processes, wiring.per_machine or processes)
    machines = math.ceil(processes / inside)
    among = exchange_seconds(size / inside, machines, wiring.between or wiring.link)
    return exchange_seconds(size, inside, wiring.link) + among


def step_exchange(forward: ForwardWork, processes: int, wiring: Wiring, *, across: bool) -> float:
    """What a step exchanges: all gradients at once, some sums and, `across` processes, two small tensors a batch norm."""
    small = SUMS + (PER_NORM * forward.norms if across else 0)
    gradients = wired_seconds(GRADIENT_BYTES * forward.parameters, processes, wiring)
    return gradients + small * wired_seconds(0, processes, wiring)


def shared(
    experiment: Experiment, facts: Mapping, machine: Machine, processes: int, wiring: Wiring, *, decoders: int | None = None
) -> Shared:
    """The estimate for one experiment; raises UserError for more processes than a batch has images.

    The exchange follows the backward pass, as it does in training/distributed.py; `decoders` of each process decode the next
    batch meanwhile. Held-out images are shared too.
    """
    train, length = experiment.train, budget(experiment.train, facts["train"])
    if processes > train.batch_size:
        raise UserError(f"{experiment.name}: {processes} processes for a batch of {train.batch_size} images; give fewer")
    own = train.batch_norm is not None and (train.batch_norm.frozen or train.batch_norm.across == "process")
    across = train.ghost_batch_size is None and not own
    forward, rates = network_work(experiment, facts), machine.seconds_per
    evaluations = math.ceil(length.steps / length.steps_per_epoch)
    an_image = DECODE / decoders if decoders else 0.0

    def run(count: int) -> tuple[float, float, float, float]:
        largest, together = math.ceil(train.batch_size / count), across and count > 1
        compute = step_work(experiment, facts, batch_size=largest, shared=together).seconds(rates)
        exchange, decoding = step_exchange(forward, count, wiring, across=across), an_image * largest
        held_out = (facts["test"] + facts["validation"]) / count
        scored = max(evaluation_work(experiment, facts).seconds(rates) / count, an_image * held_out)
        steps = length.steps * max(compute + exchange, decoding)
        return compute, exchange, decoding, START_UP + steps + evaluations * scored

    compute, exchange, decoding, seconds = run(processes)
    return Shared(processes, compute, exchange, decoding, seconds, run(1)[-1] / seconds)
