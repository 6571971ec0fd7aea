"""Several networks on one GPU at once, in one process: each has a stream of its own, and they take turns step by step.

A small network leaves most of a GPU idle. Each executes exactly the kernels that it would alone, so that the results are the same
bits; what they share is the time.
"""

import gc
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch

from reslab.errors import UserError
from reslab.runs.processes import Job

ROOM = 1.2  # times what a network needed must be free before another one starts
MOST = 16  # beyond this the host is busy enough
Turns = Iterator[None]


@dataclass
class _Place:
    """A network under way."""

    job: Job
    turns: Turns
    stream: AbstractContextManager


def run_together(start: Callable[[Job], Turns], jobs: list[Job], *, device: torch.device, most: int = MOST) -> Iterator[Job]:
    """Run the generators that `start` makes of the jobs, at most `most` at a time, and yield each job as it finishes.

    Another one starts while the GPU has room for what the largest so far has taken. One that runs out of memory beside others
    starts again when there is room; alone it raises UserError. Any other failure is raised when the others have ended.
    """
    waiting, places, need, failure = deque(jobs), [], 0, None
    try:
        while waiting or places:
            turn = _Turn()
            if waiting and (not places or (len(places) < most and _free(device) > ROOM * need)):
                free = _free(device)
                job = waiting.popleft()
                places.append(_Place(job, start(job), _stream(device)))
                turn.take(places[-1:])
                need = max(need, free - _free(device))
            else:
                turn.take(places)
            if turn.lost and len(places) == 1:
                raise UserError("out of GPU memory; train.recompute: true or a smaller train.ghost_batch_size needs less")
            if turn.lost:
                most = max(1, len(places) - len(turn.lost))
                waiting.extend(place.job for place in turn.lost)
            failure = failure or turn.failure
            places = [place for place in places if place not in turn.ended]
            if turn.ended:
                _give_memory_back()
            yield from (place.job for place in turn.done)
    finally:
        for place in places:
            place.turns.close()
    if failure is not None:
        raise failure


class _Turn:
    """One step of each network: which finished, which ran out of memory, and the first other failure."""

    def __init__(self) -> None:
        self.done: list[_Place] = []
        self.lost: list[_Place] = []
        self.ended: list[_Place] = []
        self.failure: Exception | None = None

    def take(self, places: list[_Place]) -> None:
        """Let each network make its step."""
        for place in places:
            try:
                with place.stream:
                    next(place.turns)
                continue
            except StopIteration:
                self.done.append(place)
            except torch.OutOfMemoryError:
                self.lost.append(place)
            except Exception as error:  # noqa: BLE001 - raised at the end: the others must not lose what they have computed
                self.failure = self.failure or error
            place.turns.close()
            self.ended.append(place)


def _give_memory_back() -> None:
    """Free what ended networks have left: recordings and compiled code hold themselves until they are collected."""
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def _stream(device: torch.device) -> AbstractContextManager:
    return torch.cuda.stream(torch.cuda.Stream(device)) if device.type == "cuda" else nullcontext()


def _free(device: torch.device) -> int:
    """Free bytes of the GPU."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 1
