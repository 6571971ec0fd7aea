"""Whether a loop repeats: two fresh processes train one epoch from the same seed; do they end in the same bits?"""

import hashlib
from dataclasses import replace

import numpy as np

from contest.guard import in_a_process
from loops import build
from loops.job import Job


def repeats(loop: str, job: Job, *, until: float = float("inf")) -> bool:
    """Whether it ended in the same weights twice. Two equal endings are no promise, two that differ are a proof."""
    first, second = (in_a_process(weights_after_an_epoch, loop, job, until=until) for _ in range(2))
    return first == second


def weights_after_an_epoch(loop: str, job: Job) -> str:
    """The sha256 of all weights and statistics, after one epoch of the job's first seed."""
    trained = build(loop, replace(job, seeds=job.seeds[:1]))
    trained.train(1)
    digest = hashlib.sha256()
    for name, tensor in sorted(trained.trained_network().state_dict().items()):
        values = tensor.detach().float() if tensor.is_floating_point() else tensor
        digest.update(name.encode() + np.ascontiguousarray(values.cpu().numpy()).tobytes())
    return digest.hexdigest()
