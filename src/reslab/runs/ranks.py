"""The processes that train one network together: which part of a batch is whose, and how numbers are added up among them.

A network that is trained by one process alone has one rank, and nothing here does anything.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from reslab.errors import UserError

if TYPE_CHECKING:  # torch is loaded by those who have tensors
    from torch import Tensor


@dataclass(frozen=True)
class Ranks:
    """The number of a process, from 0, and the `count` of them all; process 0 reads, writes and reports for all."""

    rank: int = 0
    count: int = 1

    @property
    def alone(self) -> bool:
        """Whether one process does all."""
        return self.count == 1

    @property
    def first(self) -> bool:
        """Whether this is the process that reads, writes and reports."""
        return self.rank == 0

    def parts(self, size: int, unit: int = 1) -> list[slice]:
        """The images of a batch of `size` that each process takes: runs of whole `unit`s, as equal as can be; some may be empty."""
        units = -(-size // unit)
        ends = [min(size, rank * units // self.count * unit) for rank in range(self.count + 1)]
        return [slice(start, stop) for start, stop in pairwise(ends)]

    def part(self, size: int, unit: int = 1) -> slice:
        """The images of a batch of `size` that this process takes."""
        return slice(0, size) if self.alone else self.parts(size, unit)[self.rank]

    def add(self, tensor: "Tensor") -> "Tensor":
        """Replace a tensor by its sum over all processes, the same bits in each; a CUDA graph can record it."""
        return tensor if self.alone else add_over_processes(tensor)

    def joined(self, mine: "Tensor", lengths: list[int]) -> "Tensor":
        """Rows of all processes in order; this one has `mine`, and `lengths` are the numbers of rows of each."""
        import torch

        largest = max(lengths)
        padded = mine.new_zeros((largest, *mine.shape[1:]))
        padded[: len(mine)] = mine
        found = [padded] * len(lengths)
        if _exchanging[0]:
            found = [torch.empty_like(padded) for _ in lengths]
            torch.distributed.all_gather(found, padded)
        return torch.cat([rows[:length] for rows, length in zip(found, lengths, strict=True)])

    def told(self, value: Callable[[], Any]) -> Any:
        """What process 0 finds by `value()`, in every process; a UserError there is raised in all."""
        if self.alone:
            return value()
        import torch

        said: list[Any] = [None, None]
        if self.first:
            try:
                said[0] = value()
            except UserError as error:
                said[1] = error
        torch.distributed.broadcast_object_list(said, device=torch.device("cpu"))
        if said[1] is not None:
            raise said[1]
        return said[0]

    def any(self, here: bool) -> bool:
        """Whether something is the case in at least one process."""
        if self.alone or not _exchanging[0]:
            return here
        import torch

        found = torch.tensor(float(here))
        torch.distributed.all_reduce(found)
        return found.item() > 0


ALONE = Ranks()
_exchanging = [True]  # of this whole process: a backward pass may run in another thread


def add_over_processes(tensor: "Tensor") -> "Tensor":
    """Replace a tensor by its sum over all processes, the same bits in each."""
    if _exchanging[0]:
        import torch

        torch.distributed.all_reduce(tensor)
    return tensor


@contextmanager
def apart() -> Iterator[None]:
    """Nothing is added up over processes while this lasts: each computes alone, and none waits for one that fails."""
    before, _exchanging[0] = _exchanging[0], False
    try:
        yield
    finally:
        _exchanging[0] = before
