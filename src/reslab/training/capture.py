"""A step recorded as a CUDA graph: one launch by the host instead of hundreds, whatever the step does on the device."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from reslab.errors import UserError
from reslab.training.evaluation import ScoringStep
from reslab.training.lars import Lars
from reslab.training.step import TrainingStep

WARM_UP = 3  # steps before recording: libraries choose algorithms, lazy state comes into being, compilers compile
AGREEMENT = 1e-2  # largest relative difference of loss and weights between a recorded step and the plain one: half precision's


class Recorded:
    """A step recorded once for each size of batch; calling it replays the recording in the current stream."""

    def __init__(self, step: TrainingStep | ScoringStep) -> None:
        first, *rest = step.feed.begin(1)
        step.feed.load(first)
        # The recordings never run at the same time and leave nothing to each other, so that they can share memory.
        self.pool, stream = torch.cuda.graph_pool_handle(), torch.cuda.Stream()
        self.graphs = {size: self._record(step, size, stream) for size in sorted({first, *rest}, reverse=True)}

    def _record(self, step: TrainingStep | ScoringStep, size: int, stream: torch.cuda.Stream) -> torch.cuda.CUDAGraph:
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*running without CUDA graph capture")  # not yet
            for number in range(WARM_UP):
                step.feed.rewind()
                with refusing_to_wait(number == WARM_UP - 1):
                    step(size)
            step.feed.rewind()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self.pool, stream=stream):
            step(size)
        return graph

    def __call__(self, size: int) -> None:
        self.graphs[size].replay()


@contextmanager
def refusing_to_wait(on: bool) -> Iterator[None]:
    """While on, whatever makes the host wait for the GPU raises RuntimeError: a recording would end in the same, less gently."""
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error" if on else "default")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)


class Kept:
    """The state of a training step, to be put back after it was tried out: as if nothing had happened."""

    def __init__(self, step: TrainingStep) -> None:
        self.step = step
        self.tensors = [(tensor, tensor.detach().clone()) for tensor in tensors(step)]
        self.scaler = step.rule.scaler.state_dict()

    @torch.no_grad()
    def put_back(self) -> None:
        """Write the kept values into the same tensors; an optimizer's state that was not there before becomes zeros."""
        known = {id(tensor) for tensor, _ in self.tensors}
        for tensor in tensors(self.step):
            if id(tensor) not in known:
                tensor.zero_()
        for tensor, value in self.tensors:
            tensor.copy_(value)
        self.step.rule.scaler.load_state_dict(self.scaler)


def tensors(step: TrainingStep) -> Iterator[Tensor]:
    """All that a training step changes but the feed: sums, weights, buffers, averages, the optimizer's state."""
    yield from (step.sums, step.errors)
    for module in (step.model, step.rule.average):
        if module is not None:
            yield from module.parameters()
            yield from module.buffers()
    for state in step.optimizer.state.values():
        yield from (value for value in state.values() if isinstance(value, Tensor))


def obstacle(step: TrainingStep) -> str | None:
    """Why this step cannot be recorded, as far as it is known before it is tried."""
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
    """Make the optimizer keep rates and counts of steps in tensors on the device, which a recorded step reads anew each time."""
    for group in optimizer.param_groups:
        group["lr"] = torch.tensor(float(group["lr"]), device=device)
        if "capturable" in group:
            group["capturable"] = True
    for state in optimizer.state.values():
        if isinstance(state.get("step"), Tensor):
            state["step"] = state["step"].to(device)


def check_agreement(step: TrainingStep, execute: Callable[[int], None]) -> None:
    """Raise UserError unless `execute` does to loss and weights what the plain step does; the state is put back."""
    kept, network, found = Kept(step), step.network, []
    size = step.feed.begin(1)[0]
    step.feed.load(size)
    for compute, do in ((None, step), (network, execute)):
        step.network = compute
        step.sums.zero_()
        step.feed.rewind()
        do(size)
        found.append([step.sums[0].item(), *(norm.item() for norm in torch._foreach_norm(list(step.model.parameters())))])
        kept.put_back()
    plain, recorded = (torch.tensor(numbers, dtype=torch.float64) for numbers in found)
    if not torch.allclose(plain, recorded, rtol=AGREEMENT, atol=AGREEMENT, equal_nan=True):
        worst = (plain - recorded).abs().max().item()
        raise UserError(f"it does not do what the plain step does (loss or norms differ by up to {worst:.2g})")
