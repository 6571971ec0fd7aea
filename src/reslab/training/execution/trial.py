"""A trial of a way to launch steps: does it do what the plain step does? Afterwards the state of the run is as before."""

import copy
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from reslab.errors import UserError
from reslab.training.execution.executor import Launch
from reslab.training.loop import set_rate
from reslab.training.precision import FLOAT32
from reslab.training.step import Forms, TrainingStep

Changes = dict[str, list[Tensor]]  # of a step's tensors, by kind
SMALLEST = 1e-12  # changes too small to matter
FACTORS = (1.0, 0.5)  # of the base rate: they reveal a recording in which the rate is a constant
# Relative to the norm of the plain steps' changes. A format of 16 bits may differ by ROUNDING times as much as it differs from
# float32: compiled and plain bfloat16 were 0.089, 0.253, 0.546 apart for ResNet-20, 56, 110, and bfloat16 and float32 0.107, 0.258,
# 0.545; but never by MOST, for two changes that have nothing in common are 1.4 apart. The sums are two numbers, no yardstick of
# their own: they take SUMS of the weights'. Rounding hardly lengthens a change; a constant rate lengthens it by a third.
TOLERANCE = {"counts": 0.0, "sums": 0.02, "weights": 0.2, "buffers": 0.2, "average": 0.2, "optimizer": 0.2}
ROUNDING, MOST, SUMS, LENGTH = 1.5, 1.2, 0.1, 0.2


def tensors(step: TrainingStep) -> Iterator[tuple[str, Tensor]]:
    """Every tensor that a training step changes, except those of the batches, with its kind."""
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
    """A copy of the state of a training step, to be put back after a trial."""

    def __init__(self, step: TrainingStep) -> None:
        self.step = step
        self.tensors = [(tensor, tensor.detach().clone()) for _, tensor in tensors(step)]
        self.groups = [{key: value for key, value in group.items() if key != "params"} for group in step.optimizer.param_groups]
        self.scaler = step.rule.scaler.state_dict()

    @torch.no_grad()
    def put_back(self) -> None:
        """Write the values into the same tensors; an optimizer's state that was created since becomes zero."""
        before = {id(tensor) for tensor, _ in self.tensors}
        for _, tensor in tensors(self.step):
            if id(tensor) not in before:
                tensor.zero_()
        for tensor, value in self.tensors:
            tensor.copy_(value)
        for group, settings in zip(self.step.optimizer.param_groups, self.groups, strict=True):
            group.update(settings)
        scaler = self.step.rule.scaler
        if scaler.is_enabled():
            scaler.load_state_dict(self.scaler)
            scaler._per_optimizer_states.clear()  # a step that failed half way leaves an entry there


@torch.no_grad()
def changes(step: TrainingStep, launch: Launch) -> Changes:
    """The changes that steps of every batch size and at two rates make, by kind of tensor; afterwards they are undone.

    The batches must have loaded a batch.
    """
    snapshot = Snapshot(step)
    before = {id(tensor): value for tensor, value in snapshot.tensors}
    try:
        for size in sorted(set(step.batches.batch_sizes), reverse=True):
            for factor in FACTORS:
                set_rate(step.optimizer, factor)
                step.batches.rewind()
                with torch.enable_grad():
                    launch(size)
        found: Changes = {}
        for kind, tensor in tensors(step):
            change = tensor.double() - before[id(tensor)].double() if id(tensor) in before else tensor.double()
            found.setdefault(kind, []).append(change.flatten().to(step.sums.device))  # some optimizers count on the host
        return found
    finally:
        snapshot.put_back()


def changes_in_float32(step: TrainingStep) -> Changes | None:
    """The changes that the same steps make where nothing is rounded to 16 bits; None where autocast rounds nothing."""
    if step.rule.precision.autocast is None:
        return None
    exact = copy.copy(step)  # it shares all tensors with the step
    exact.rule, exact.forms, exact.casts = replace(step.rule, precision=FLOAT32), Forms(), None
    return changes(exact, exact)


def check_agreement(plain: Changes, other: Changes, exact: Changes | None = None) -> None:
    """Raise UserError if the `changes` of another way to launch the steps differ from the plain ones by more than rounding.

    `exact` are the changes in float32, if the steps round to less: what they differ from the plain ones is the yardstick.
    """
    for kind, tolerance in TOLERANCE.items():
        expected, found = _joined(plain, kind), _joined(other, kind)
        size, difference = expected.norm().item(), (found - expected).norm().item()
        if not expected.isfinite().all():
            continue
        if exact and tolerance:
            tolerance = max(tolerance, _rounding(plain, exact, kind))
        if not difference <= tolerance * size + SMALLEST:
            raise UserError(f"it does not do what the plain step does: changes of {kind} differ by {difference:.2g} of {size:.2g}")
        length = found.norm().item()
        if kind != "sums" and not abs(length - size) <= LENGTH * size + SMALLEST:
            raise UserError(f"it does not do what the plain step does: changes of {kind} have size {length:.2g}, not {size:.2g}")


def _rounding(plain: Changes, exact: Changes, kind: str) -> float:
    """How far from the plain changes of a kind rounding may lead, relative to their norm."""
    if kind == "sums":
        return SUMS * _rounding(plain, exact, "weights")
    rounded = _joined(plain, kind)
    return min(MOST, ROUNDING * ((_joined(exact, kind) - rounded).norm() / (rounded.norm() + SMALLEST)).item())


def _joined(side: Changes, kind: str) -> Tensor:
    return torch.cat(side.get(kind, [torch.zeros(1)]))
