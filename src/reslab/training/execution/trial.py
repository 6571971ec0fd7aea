"""Trying out a way to execute steps: does it do what the plain step does? Nothing of the trial stays."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from reslab.errors import UserError
from reslab.training.loop import set_rate
from reslab.training.step import TrainingStep

Execute = Callable[[int], None]
SMALLEST = 1e-12  # changes that nobody would see
FACTORS = (1.0, 0.5)  # of the base rate: a recording that has swallowed the rate shows
# Of the norm of what the plain steps change. Half precision compiled differs by some percent; a swallowed rate by a third.
TOLERANCE = {"counts": 0.0, "sums": 0.02, "weights": 0.2, "buffers": 0.2, "average": 0.2, "optimizer": 0.2}


def tensors(step: TrainingStep) -> Iterator[tuple[str, Tensor]]:
    """All that a training step changes but the feed, with what it is."""
    yield from (("sums", step.sums), ("sums", step.errors))
    yield from (("weights", parameter) for parameter in step.model.parameters())
    buffers = list(step.model.buffers())
    if step.rule.average is not None:
        yield from (("average", parameter) for parameter in step.rule.average.parameters())
        buffers += step.rule.average.buffers()
    yield from (("buffers" if buffer.is_floating_point() else "counts", buffer) for buffer in buffers)
    for state in step.optimizer.state.values():
        for name, value in state.items():
            if isinstance(value, Tensor):
                yield ("counts" if name == "step" else "optimizer"), value


class Snapshot:
    """The state of a training step, to be put back after it was tried out: as if nothing had happened."""

    def __init__(self, step: TrainingStep) -> None:
        self.step = step
        self.tensors = [(tensor, tensor.detach().clone()) for _, tensor in tensors(step)]
        self.groups = [{key: value for key, value in group.items() if key != "params"} for group in step.optimizer.param_groups]
        self.scaler = step.rule.scaler.state_dict()

    @torch.no_grad()
    def put_back(self) -> None:
        """Write the kept values into the same tensors; an optimizer's state that was not there before becomes zeros."""
        known = {id(tensor) for tensor, _ in self.tensors}
        for _, tensor in tensors(self.step):
            if id(tensor) not in known:
                tensor.zero_()
        for tensor, value in self.tensors:
            tensor.copy_(value)
        for group, settings in zip(self.step.optimizer.param_groups, self.groups, strict=True):
            group.update(settings)
        scaler = self.step.rule.scaler
        if scaler.is_enabled():
            scaler.load_state_dict(self.scaler)
            scaler._per_optimizer_states.clear()  # a step that failed half way has left its mark there


@torch.no_grad()
def changes(step: TrainingStep, execute: Execute) -> dict[str, list[Tensor]]:
    """What steps of every size of batch and of two rates change, by kind of tensor; all is put back.

    The feed must have loaded a batch.
    """
    kept = Snapshot(step)
    before = {id(tensor): value for tensor, value in kept.tensors}
    try:
        for size in sorted(set(step.feed.batch_sizes), reverse=True):
            for factor in FACTORS:
                set_rate(step.optimizer, factor)
                step.feed.rewind()
                with torch.enable_grad():
                    execute(size)
        found: dict[str, list[Tensor]] = {}
        for kind, tensor in tensors(step):
            change = tensor.double() - before[id(tensor)].double() if id(tensor) in before else tensor.double()
            found.setdefault(kind, []).append(change.flatten())
        return found
    finally:
        kept.put_back()


def check_agreement(plain: dict[str, list[Tensor]], other: dict[str, list[Tensor]]) -> None:
    """Raise UserError if `changes` of another way to execute the steps differ from those of the plain one by more than rounding."""
    for kind, tolerance in TOLERANCE.items():
        expected, found = (torch.cat(side.get(kind, [torch.zeros(1)])) for side in (plain, other))
        size, difference = expected.norm().item(), (found - expected).norm().item()
        if expected.isfinite().all() and not difference <= tolerance * size + SMALLEST:
            raise UserError(f"it does not do what the plain step does: changes of {kind} differ by {difference:.2g} of {size:.2g}")
