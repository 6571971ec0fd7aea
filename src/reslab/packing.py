"""Several networks on one GPU at once, in one process: each has a stream of its own, and they take turns step by step.

A small network leaves most of a GPU idle. Each executes exactly the kernels that it would alone, so that the results are the same
bits; what they share is the time.
"""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch

from reslab.errors import UserError
from reslab.workers import Job

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
    starts again when they are done; alone it raises UserError.
    """
    waiting, places, need = deque(jobs), [], 0
    try:
        while waiting or places:
            if waiting and (not places or (len(places) < most and _free(device) > ROOM * need)):
                free = _free(device)
                job = waiting.popleft()
                places.append(_Place(job, start(job), _stream(device)))
                done, lost = _take_turns(places[-1:])
                need = max(need, free - _free(device))
            else:
                done, lost = _take_turns(places)
            places = [place for place in places if place not in done + lost]
            if lost:
                most = _make_room(places)
                waiting.extend(place.job for place in lost)
            yield from (place.job for place in done)
    finally:
        for place in places:
            place.turns.close()


def _make_room(places: list[_Place]) -> int:
    """Give freed memory back; return how many networks fit."""
    if not places:
        raise UserError("out of GPU memory; train.recompute: true or a smaller train.ghost_batch_size needs less")
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    return len(places)


def _take_turns(places: list[_Place]) -> tuple[list[_Place], list[_Place]]:
    """One step of each network; return those that finished and those that ran out of memory."""
    done, lost = [], []
    for place in places:
        try:
            with place.stream:
                next(place.turns)
        except StopIteration:
            done.append(place)
        except torch.OutOfMemoryError:
            place.turns.close()
            lost.append(place)
    return done, lost


def _stream(device: torch.device) -> AbstractContextManager:
    return torch.cuda.stream(torch.cuda.Stream(device)) if device.type == "cuda" else nullcontext()


def _free(device: torch.device) -> int:
    """Free bytes of the GPU."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 1
