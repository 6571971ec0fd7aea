"""The time of a step when several processes train one network: the largest part of the batch, and what the processes exchange."""

import math
from collections.abc import Mapping
from typing import NamedTuple

from reslab.config.study import Experiment
from reslab.cost.counts import ForwardWork
from reslab.cost.estimate import evaluation_work, network_work, step_work
from reslab.cost.links import Link
from reslab.cost.machines import Machine
from reslab.errors import UserError
from reslab.training.schedule.budget import budget

GRADIENT_BYTES = 4  # of a parameter: gradients are added in float32
SUMS = 1  # small exchanges of every step: the sums of loss and errors
PER_NORM = 2  # of batch norm over the whole batch: one in the forward pass, one in the backward pass


class Shared(NamedTuple):
    """The times of a network that several processes train together, in seconds."""

    processes: int
    compute: float  # of a step, in the process that has most images
    exchange: float  # of a step
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


def step_exchange(forward: ForwardWork, processes: int, link: Link, *, across: bool) -> float:
    """What a step exchanges: all gradients at once, some sums and, `across` processes, two small tensors a batch norm."""
    small = SUMS + (PER_NORM * forward.norms if across else 0)
    gradients = exchange_seconds(GRADIENT_BYTES * forward.parameters, processes, link)
    return gradients + small * exchange_seconds(0, processes, link)


def shared(experiment: Experiment, facts: Mapping, machine: Machine, processes: int, link: Link) -> Shared:
    """The estimate for one experiment; raises UserError for more processes than a batch has images.

    Nothing overlaps: the exchange follows the backward pass, as it does in training/distributed.py. Held-out images are shared too.
    """
    train, length = experiment.train, budget(experiment.train, facts["train"])
    if processes > train.batch_size:
        raise UserError(f"{experiment.name}: {processes} processes for a batch of {train.batch_size} images; give fewer")
    own = train.batch_norm is not None and (train.batch_norm.frozen or train.batch_norm.across == "process")
    across = train.ghost_batch_size is None and not own
    forward, rates = network_work(experiment, facts), machine.seconds_per
    evaluations = math.ceil(length.steps / length.steps_per_epoch)

    def run(count: int) -> tuple[float, float, float]:
        largest, together = math.ceil(train.batch_size / count), across and count > 1
        compute = step_work(experiment, facts, batch_size=largest, shared=together).seconds(rates)
        exchange = step_exchange(forward, count, link, across=across)
        scored = evaluation_work(experiment, facts).seconds(rates) / count
        return compute, exchange, length.steps * (compute + exchange) + evaluations * scored

    compute, exchange, seconds = run(processes)
    return Shared(processes, compute, exchange, seconds, run(1)[2] / seconds)
