"""A step recorded as a CUDA graph: the host launches it once in place of hundreds of kernels."""

import gc
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from reslab.errors import UserError, telling_line
from reslab.runs.gpu_memory import out_of_memory
from reslab.training.evaluation import ScoringStep
from reslab.training.optim.lars import Lars
from reslab.training.step import TrainingStep

WARM_UP = 3  # steps before recording, in which libraries choose algorithms, lazy state is created and compilers compile


class RecordingError(UserError):
    """A recording broke off: later ones in this process may be wrong."""


class Recorded:
    """A step recorded once for each batch size; a call replays the recording in the current stream.

    The batches must have loaded a batch. Raises RuntimeError if the step makes the host wait for the device, RecordingError if the
    recording breaks off.
    """

    def __init__(self, step: TrainingStep | ScoringStep) -> None:
        self.step, self.stream = step, _own_stream()
        # The recordings never run at the same time and pass no tensors on to one another: they can share memory.
        self.pool = torch.cuda.graph_pool_handle()
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            self.graphs = {size: self._record(size) for size in sorted(set(step.batches.batch_sizes), reverse=True)}
        torch.cuda.current_stream().wait_stream(self.stream)

    def _record(self, size: int) -> torch.cuda.CUDAGraph:
        for number in range(WARM_UP):
            self.step.batches.rewind()
            with refusing_to_wait(number == WARM_UP - 1):
                self.step(size)
        self.step.batches.rewind()
        graph, broken = torch.cuda.CUDAGraph(), None
        try:
            # The same stream a second time: torch does not restore the current stream if the end of a recording fails.
            with torch.cuda.stream(self.stream), without_collection(), self._recording(graph):
                try:
                    self.step(size)
                except Exception as error:  # the end of the recording will fail too, with a vaguer message
                    broken = error
                    raise
        except RuntimeError as error:
            broken = broken or error
            if out_of_memory(broken):
                raise broken from error
            raise RecordingError(telling_line(broken)) from error
        return graph

    def _recording(self, graph: torch.cuda.CUDAGraph) -> torch.cuda.graph:
        # thread_local: a loader's thread may pin memory meanwhile.
        return torch.cuda.graph(graph, pool=self.pool, stream=self.stream, capture_error_mode="thread_local")

    def __call__(self, size: int) -> None:
        self.graphs[size].replay()


def _own_stream() -> torch.cuda.Stream:
    """The current stream if it is not the default one, else a new one: libraries keep a workspace for each of the 32 streams."""
    current = torch.cuda.current_stream()
    return torch.cuda.Stream() if current == torch.cuda.default_stream() else current


@contextmanager
def without_collection() -> Iterator[None]:
    """Python's collector of reference cycles rests: it might free an old graph or a tensor, which breaks a recording off."""
    gc.collect()
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


@contextmanager
def refusing_to_wait(on: bool) -> Iterator[None]:
    """While on, whatever makes the host wait for the GPU raises RuntimeError; within a recording it would break the recording."""
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*prototype feature")
        torch.cuda.set_sync_debug_mode("error" if on else "default")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)


def obstacle(step: TrainingStep) -> str | None:
    """The reason why this step cannot be recorded; None if none is known before trying."""
    optimizer, groups = step.optimizer, step.optimizer.param_groups
    on_device = isinstance(optimizer, Lars) or all(group.get("fused") or "capturable" in group for group in groups)
    if not on_device:
        return f"{type(optimizer).__name__} counts its steps on the host"
    if step.rule.scaler.is_enabled() and not all(group.get("fused") for group in groups):
        return f"with a loss scale, {type(optimizer).__name__} waits for the device at each step"
    if step.rule.batch_norm.momentum == "cumulative":
        return "batch norm's cumulative average counts its steps on the host"
    return None


def count_on_device(optimizer: torch.optim.Optimizer, device: torch.device) -> None:
    """Keep the optimizer's rates and step counts in tensors on the device, which a recorded step reads each time."""
    for group in optimizer.param_groups:
        group["lr"] = torch.tensor(float(group["lr"]), device=device)
        if "capturable" in group:
            group["capturable"] = True
    for state in optimizer.state.values():
        if isinstance(state.get("step"), Tensor):
            state["step"] = state["step"].to(device)
