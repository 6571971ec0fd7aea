"""One training step: gradients of a batch, whole or in chunks, and the update."""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial, reduce

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_

from reslab.runs.ranks import ALONE, Ranks
from reslab.targets import Batch, Targets, split_targets
from reslab.training.batch_norm import BatchNormRule, CountedTogether
from reslab.training.casts import CastTogether
from reslab.training.distributed import Cut, add_gradients, computing_part, cut
from reslab.training.ema import WeightAverage
from reslab.training.evaluation import Batches, Loss, wrong
from reslab.training.precision import FLOAT32, Precision, forward
from reslab.training.shared_norm import share_statistics


@dataclass(frozen=True)
class StepRule:
    """What a step does beyond model, loss and optimizer; the defaults are a plain step in the model's own precision."""

    precision: Precision = FLOAT32
    ghost_batch_size: int | None = None  # images in a chunk, which has batch norm statistics of its own
    gradient_clip: float | None = None  # the largest L2 norm of the gradient of all parameters
    batch_norm: BatchNormRule = field(default_factory=BatchNormRule)
    scaler: torch.amp.GradScaler = field(default_factory=lambda: torch.amp.GradScaler("cpu", enabled=False))
    average: WeightAverage | None = None
    recomputes: bool = False  # blocks are computed again in the backward pass (execution/recompute.py)
    ranks: Ranks = ALONE  # the processes that train the network (training/distributed.py)

    @property
    def unit(self) -> int:
        """The images of a batch that one process takes together: a ghost batch is not shared."""
        return 1 if self.batch_norm.across == "process" else self.ghost_batch_size or 1

    @property
    def shares_statistics(self) -> bool:
        """Whether one batch norm statistic is that of several processes' images."""
        return self.batch_norm.across == "batch" and self.ghost_batch_size is None and not self.batch_norm.frozen

    def state(self) -> dict:
        """What a checkpoint stores of it: the loss scale and the averaged weights."""
        return {"scaler": self.scaler.state_dict(), "average": self.average.state_dict() if self.average else {}}

    def restore(self, state: dict) -> None:
        """Take over a stored `state`."""
        if self.scaler.is_enabled():
            self.scaler.load_state_dict(state["scaler"])
        if self.average:
            self.average.load_state_dict(state["average"])


Network = Callable[[Tensor], Tensor]
Measured = tuple[Tensor, Tensor, Tensor]  # the loss whose gradient is wanted; the same as float64; errors, float64


@dataclass
class Forms:
    """Faster forms of a step's parts that compute the same, such as compiled ones; None stands for the part as it is written."""

    network: Network | None = None
    measure: Callable[..., Measured] | None = None
    add: Callable[..., None] | None = None


def train_step(
    model: nn.Module,
    batch: Batch,
    loss: Loss,
    optimizer: torch.optim.Optimizer,
    rule: StepRule | None = None,
    *,
    forms: Forms | None = None,
    made: Cut | None = None,
) -> tuple[Tensor, Tensor]:
    """Forward, backward, update; return the batch's mean loss and its number of errors without waiting for the device.

    `made` says of which larger batch this process has a part (training/distributed.py).
    """
    rule = rule or StepRule()
    optimizer.zero_grad(set_to_none=True)
    with computing_part(model, batch[0], rule.ranks, made):
        value, errors = _gradients(model, batch, loss, rule, forms or Forms(), made.size if made else len(batch[0]))
    value, errors = add_gradients(model, rule.ranks, value, errors)
    if rule.gradient_clip is not None:
        rule.scaler.unscale_(optimizer)
        clip_grad_norm_(model.parameters(), rule.gradient_clip)
    rule.scaler.step(optimizer)
    rule.scaler.update()
    # Deviation: a step that the scaler skips because of an overflow still counts for the average, which takes in the unchanged
    # weights. Only the device knows whether a step was skipped, and the host would have to wait for it.
    if rule.average:
        rule.average.update_parameters(model)
    return value, errors


def _gradients(model: nn.Module, batch: Batch, loss: Loss, rule: StepRule, forms: Forms, size: int) -> tuple[Tensor, Tensor]:
    """Add up the gradient of a batch's share in the mean loss of `size` images (scaled, if there is a scaler).

    Returns the share of the loss and the errors, both float64.

    In chunks this is ghost batch norm (Hoffer, Hubara, Soudry, arXiv:1705.08741, section 4), in less memory. Each chunk's weight is
    its share of the images.
    """
    # Deviation: running statistics are updated by one chunk after the other, each with batch norm's momentum; the paper weights
    # them.
    found, measure = [], (forms.measure or measured) if len(batch[0]) else nothing_measured
    for images, targets in _chunks(batch, rule.ghost_batch_size):
        share = len(images) / size
        logits = forward(model, images, rule.precision, network=forms.network)
        part, value, errors = measure(logits, targets, loss, share)
        rule.scaler.scale(part).backward()
        found.append((value, errors))
    values, errors = zip(*found, strict=True)
    return reduce(torch.add, values), reduce(torch.add, errors)


def measured(logits: Tensor, targets: Targets, loss: Loss, share: float) -> Measured:
    """The loss of a chunk that has a `share` of the batch, and its errors."""
    part = loss(logits, targets) * share
    return part, part.detach().double(), wrong(logits.detach(), targets).sum(dtype=torch.float64)


def nothing_measured(logits: Tensor, *_: object) -> Measured:
    """The same of no images."""
    zero = logits.sum().double() * 0
    return zero, zero.detach(), zero.detach()


def add_up(sums: Tensor, last: Tensor, value: Tensor, errors: Tensor, size: int) -> None:
    """Add a batch's loss, over its images, and its errors to `sums`, and put the errors into `last`."""
    sums += torch.stack([value * size, errors])
    last.copy_(errors)


def _chunks(batch: Batch, size: int | None) -> Iterator[Batch]:
    """The batch in chunks of at most `size` images, in order; whole without a size."""
    images, targets = batch
    if size is None or size >= len(images):
        return iter([batch])
    return zip(images.split(size), split_targets(targets, size), strict=True)


class TrainingStep:
    """One optimizer step on the next batch; adds its loss and errors to sums on the device.

    All that it changes is in tensors that stay in place (`tensors` in execution/trial.py), so that a CUDA graph can record it.
    """

    def __init__(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, loss: Loss, batches: Batches, rule: StepRule | None = None
    ) -> None:
        self.model, self.optimizer, self.loss, self.batches, self.rule = model, optimizer, loss, batches, rule or StepRule()
        self.forms = Forms()
        device = next(model.parameters()).device
        self.counted, self.casts, self.order = None, None, None
        if device.type == "cuda" and self.rule.batch_norm.momentum != "cumulative":
            self.counted = CountedTogether(model)
        if device.type == "cuda" and self.rule.precision.autocast and not self.rule.recomputes:
            self.casts = CastTogether(model, self.rule.precision.autocast)
        if not self.rule.ranks.alone and self.rule.shares_statistics:
            self.order = share_statistics(model, self.rule.ranks)
        self.sums = torch.zeros(2, dtype=torch.float64, device=device)  # of the epoch: loss summed over images, errors
        self.errors = torch.zeros((), dtype=torch.float64, device=device)  # of the last batch

    def begin_epoch(self, epoch: int, first_batch: int = 0) -> list[int]:
        """Start an epoch in training mode; return the sizes of its batches from the 0-based `first_batch` on.

        The sums start at zero, unless the epoch is resumed in the middle.
        """
        if first_batch == 0:
            self.rule.batch_norm.begin_epoch(self.model)
            self.sums.zero_()
        else:
            self.rule.batch_norm.train(self.model)
        return self.batches.begin(epoch, first_batch)

    def __call__(self, size: int) -> None:
        batch = self.batches.batch(size)
        made = self._cut(size)
        with self.order or nullcontext():
            value, errors = train_step(self.model, batch, self.loss, self.optimizer, self.rule, forms=self._forms(size), made=made)
        (self.forms.add or add_up)(self.sums, self.errors, value, errors, size)

    def total(self) -> Tensor:
        """The sums over all processes: each has them."""
        return self.sums

    def _cut(self, size: int) -> Cut | None:
        """The part of this process in a batch of `size` images, if there are several."""
        rule = self.rule
        if rule.ranks.alone:
            return None
        return cut(size, rule.ranks, ghost_batch_size=rule.ghost_batch_size, per_process=rule.batch_norm.across == "process")

    def _forms(self, size: int) -> Forms:
        """The forms for a batch of `size`; on a GPU batch norms count together and weights are cast together.

        Of several processes, whose parts of the last batch may differ, all compute it compiled or none: a compiler leaves out
        exchanges whose result nobody needs.
        """
        network = self.forms.network or self.casts
        if not self.rule.ranks.alone and size != self.batches.batch_sizes[0]:
            network = self.casts
        return replace(self.forms, network=partial(self.counted, network or self.model) if self.counted else network)
