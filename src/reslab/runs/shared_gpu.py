"""Several networks on one GPU, in one process: each in a thread and on a stream of its own, and they take turns step by step.

A small network leaves most of a GPU idle. Each launches exactly the kernels that it would launch alone, so that the results are
the same bits; what they share is the time. Only the thread that has the turn runs. So torch's global settings, its compiler and
CUDA graphs under recording see one network at a time, and the order of the turns does not depend on the clock.
"""

import gc
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from typing import ClassVar

import torch

from reslab import stop
from reslab.errors import UserError
from reslab.runs.gpu_memory import out_of_memory
from reslab.runs.processes import Job

ROOM = 1.2  # another network starts if this many times the memory of the largest so far is free
MOST = 16  # networks at once; more would keep the host too busy
SECONDS_TO_STOP = 10.0  # for a network to reach its next turn when all are to stop; later it ends with the process
Train = Callable[[Job, Callable[[], None]], None]
GO, STOP = True, False
TOO_LARGE = "out of GPU memory; train.recompute: true or a smaller train.ghost_batch_size needs less"


def run_together(
    train: Train,
    jobs: list[Job],
    *,
    device: torch.device,
    most: int = MOST,
    too_large: Callable[[Job, UserError], None] = lambda job, error: None,
) -> Iterator[Job]:
    """Call `train(job, take_turn)` for all jobs, at most `most` at a time, and yield each job when it is done.

    A network runs until it calls `take_turn`, which returns when the others have had their turn. Another one starts while the GPU
    has room for what the largest so far has taken. One that runs out of memory beside others starts again when there is room;
    alone it fails by UserError, of which `too_large` hears. The first exception is raised when the others have ended, and so is
    Stopped: told to stop, no further network starts. An interrupt, or an exception where the jobs are taken, stops all networks at
    their next turn.
    """
    waiting, turns, need, failure = deque(jobs), _Turns(device), 0, None
    try:
        while waiting or turns.networks:
            if waiting and (not turns.networks or (len(turns.networks) < most and _free(device) > ROOM * need)):
                free = _free(device)
                turns.start(train, waiting.popleft())
                need = max(need, free - _free(device))
            else:
                turns.go_on(come_back=bool(waiting))
            for network in turns.take_ended():
                if network.out_of_memory and turns.networks:
                    most = len(turns.networks)  # that have room
                    waiting.append(network.job)
                elif network.out_of_memory:
                    error = UserError(TOO_LARGE)
                    too_large(network.job, error)
                    failure = failure or error
                elif network.error is None:
                    yield network.job
                else:
                    failure = failure or network.error
                    waiting = deque() if isinstance(failure, stop.Stopped) else waiting
    finally:
        turns.stop()
    if failure is not None:
        raise failure


class _Stopped(BaseException):
    """Raised in the thread of a network that is to stop."""


class _Turns:
    """Networks under way and whose turn it is: one network's, or that of the thread that starts them."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.networks, self.streams = device, [], _Streams(device)
        self.starter: SimpleQueue = SimpleQueue()
        self.order: list[SimpleQueue] = []  # the turn goes from each to the next, and from the last to the first

    def start(self, train: Train, job: Job) -> None:
        """Start a network and let it have its first turn."""
        self.networks.append(_Network(self, train, job))
        self._hand_over([self.networks[-1].inbox, self.starter])

    def go_on(self, *, come_back: bool) -> None:
        """Let the networks take turns until one has ended; with `come_back` for one round at most."""
        self._hand_over([network.inbox for network in self.networks] + ([self.starter] if come_back else []))

    def _hand_over(self, order: list[SimpleQueue]) -> None:
        self.order = order
        order[0].put(GO)
        self.starter.get()

    def after(self, inbox: SimpleQueue) -> SimpleQueue:
        """Whose turn it is next."""
        return self.order[(self.order.index(inbox) + 1) % len(self.order)]

    def take_ended(self) -> list["_Network"]:
        """Remove the networks that have ended, and give back their memory. Raises what is no ordinary exception at once."""
        ended = [network for network in self.networks if network.ended]
        self.networks = [network for network in self.networks if not network.ended]
        for network in ended:
            network.thread.join()
            if network.error is not None and not isinstance(network.error, Exception | stop.Stopped):
                raise network.error
        if ended:
            _give_memory_back(alone=not self.networks)
        return ended

    def stop(self) -> None:
        """End all networks; those that wait for their turn end at once."""
        for network in self.networks:
            network.inbox.put(STOP)
        for network in self.networks:
            network.thread.join(SECONDS_TO_STOP)


class _Network:
    """A network that trains in a thread of its own, which runs only while it has the turn."""

    def __init__(self, turns: _Turns, train: Train, job: Job) -> None:
        self.turns, self.train, self.job = turns, train, job
        self.inbox: SimpleQueue = SimpleQueue()
        self.ended, self.out_of_memory, self.error = False, False, None
        self.thread = threading.Thread(target=self._run, name=f"seed {job.seed}", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            self._wait()
            with self.turns.streams.one():
                self.train(self.job, self.take_turn)
        except BaseException as error:  # noqa: BLE001 - raised by `run_together` in the thread that called it
            self.out_of_memory = out_of_memory(error)
            self.error = None if self.out_of_memory else error  # its traceback would hold the network's tensors
        finally:
            self.ended = True
            self.turns.starter.put(GO)

    def take_turn(self) -> None:
        """Let the others run until it is this network's turn again."""
        self.turns.after(self.inbox).put(GO)
        self._wait()

    def _wait(self) -> None:
        if self.inbox.get() is STOP:
            self.inbox.put(STOP)  # for a thread that waits again while it ends
            raise _Stopped


def _give_memory_back(*, alone: bool) -> None:
    """Free the memory of ended networks: CUDA graphs and compiled code are parts of reference cycles until they are collected.

    Where no network is left, cuBLAS's workspaces too, of which torch 2.11 keeps two for each stream (64 MiB): one that had no room
    beside others has it then. The graph of a network under way would go on writing into its own.
    """
    gc.collect()
    if torch.cuda.is_initialized():
        if alone:
            torch._C._cuda_clearCublasWorkspaces()
        torch.cuda.empty_cache()


class _Streams:
    """Streams for networks, used again when one has ended: cuBLAS keeps a workspace for each stream that it ever saw."""

    free: ClassVar[dict[torch.device, list]] = {}

    def __init__(self, device: torch.device) -> None:
        self.device = device

    @contextmanager
    def one(self) -> Iterator[None]:
        """Work on a stream of one's own while this lasts."""
        if self.device.type != "cuda":
            yield
            return
        free = self.free.setdefault(self.device, [])
        stream = free.pop() if free else torch.cuda.Stream(self.device)
        try:
            with torch.cuda.stream(stream):
                yield
        finally:
            free.append(stream)


def _free(device: torch.device) -> int:
    """Free bytes of the GPU."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 1
