"""Where the time of training steps goes: torch's profiler over a few steps of the real recipe."""

from pathlib import Path
from typing import NamedTuple

import torch
from torch.profiler import ProfilerActivity, profile

from reslab.data.prepared import Prepared
from reslab.errors import UserError, new_file
from reslab.experiment.assemble import assemble
from reslab.experiment.bound import BoundExperiment
from reslab.training.execution.levels import RunSize, choose_level

WARM_UP = 2  # steps before, which allocate and choose algorithms
UNPROFITABLE = RunSize(0, 1, 0, 0)  # too short a run to compile for


class Operation(NamedTuple):
    """One kind of operation in all profiled steps; times in seconds, without the operations that it calls."""

    name: str
    calls: int
    host: float
    device: float  # of a GPU, 0 on a CPU


def profiled(experiment: BoundExperiment, data: Prepared, device: torch.device, *, steps: int, trace: Path) -> list[Operation]:
    """Profile `steps` steps as training makes them, batch and augmentation included; write `trace` (Chrome's format).

    Returns the operations, the most expensive first. Raises UserError if an epoch has not one step.
    """
    step = assemble(experiment, data, seed=0, device=device).step()
    launch, _ = choose_level(step, UNPROFITABLE)
    step.rule.batch_norm.begin_epoch(step.model)
    activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if device.type == "cuda" else [])
    epoch = 1
    watching = profile(activities=activities, acc_events=True)
    sizes = list(step.batches.begin(epoch))
    if not sizes:
        raise UserError("an epoch has no step to profile")
    for number in range(WARM_UP + steps):
        if number == WARM_UP:
            watching.start()
        if number and number % len(sizes) == 0:
            epoch += 1
            step.batches.begin(epoch)
        size = sizes[number % len(sizes)]
        step.batches.load(size)
        launch(size)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    watching.stop()
    with new_file(trace) as draft:
        watching.export_chrome_trace(str(draft))
    found = [
        Operation(one.key, one.count, one.self_cpu_time_total / 1e6, one.self_device_time_total / 1e6)
        for one in watching.key_averages()
    ]
    return sorted(found, key=lambda one: (one.device, one.host), reverse=True)
