"""Several networks at once, one process each: the parent shows their progress, and none outlives it."""

import contextlib
import multiprocessing
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.queues import SimpleQueue
from typing import TYPE_CHECKING, ClassVar, Protocol

from reslab import stop
from reslab.errors import UserError

if TYPE_CHECKING:  # rich, which only the parent needs; every process that trains imports this module
    from reslab.runs.progress import Display

SECONDS_BETWEEN_REPORTS = 0.5


class Job(Protocol):
    """What a training process is given: anything that can be pickled and has a seed."""

    seed: int


class _Channel:
    """Where this process sends its reports: to the parent's queue or to the display; nowhere unless one of them is set."""

    send: ClassVar[Callable[[tuple], None] | None] = None


def _start_worker(queue: SimpleQueue) -> None:
    stop.in_worker()
    _Channel.send = queue.put


def report_to(display: "Display") -> None:
    """Show the reports of this process on a display."""
    _Channel.send = lambda message: _show_one(message, display)


class Reporter:
    """Reports the progress of one seed, which trains for `total` steps."""

    def __init__(self, seed: int, total: int) -> None:
        self.seed, self.total, self.last = seed, total, 0.0

    def report(self, done: int, text: str) -> None:
        """Report the number of steps done, with a few words."""
        if _Channel.send is not None:
            _Channel.send((self.seed, done, self.total, text))

    def heartbeat(self, done: int) -> None:
        """Call this between steps: it reports every half second."""
        if time.monotonic() - self.last < SECONDS_BETWEEN_REPORTS:
            return
        self.last = time.monotonic()
        self.report(done, "training")


def run_all(function: Callable[[Job], None], jobs: list[Job], *, workers: int, display: "Display") -> Iterator[Job]:
    """Call `function` with each job in a pool of new processes and yield each job when it is done.

    The first exception is raised when the others have ended, UserError if a process was killed. If one of the processes or this
    one is told to stop, all are, and Stopped is raised when they have ended. Any exception where the jobs are taken ends them too.
    """
    context = multiprocessing.get_context("spawn")  # a forked process would hang in torch's threads or in CUDA
    queue = context.SimpleQueue()
    listener = threading.Thread(target=_show, args=(queue, display), daemon=True)
    listener.start()
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker, initargs=(queue,))
    futures = {pool.submit(_call, function, job): job for job in jobs}
    failure = None
    try:
        with stop.on_request(lambda: _tell_to_stop(pool, futures)):
            for future in as_completed(futures):
                if error := _error(future):
                    failure = failure or error
                    if isinstance(error, stop.Stopped):
                        stop.follow(error)
                        _tell_to_stop(pool, futures)
                else:
                    yield futures[future]
    except BaseException:
        _tell_to_stop(pool, futures)
        raise
    finally:
        pool.shutdown(cancel_futures=True)
        queue.put(None)
        listener.join()
    _raise(failure)


def _call(function: Callable[[Job], None], job: Job) -> None:
    """What a process of the pool does: nothing more once it was told to stop."""
    stop.check()
    function(job)


def _tell_to_stop(pool: ProcessPoolExecutor, futures: Iterable[Future]) -> None:
    """Start no further job, and tell the processes of the pool."""
    for future in futures:
        future.cancel()
    for process in list((pool._processes or {}).values()):
        process.terminate()


def _error(future: Future) -> BaseException | None:
    """Why a job did not end well; one that was never started was stopped with the others."""
    return stop.Stopped("another") if future.cancelled() else future.exception()


def _raise(failure: BaseException | None) -> None:
    """Raise what a job failed with, in plain words."""
    if failure is not None:
        stop.check()  # a process that was told to stop may have failed in other ways too
    if isinstance(failure, BrokenProcessPool):
        raise UserError("a training process was killed (out of memory?); run the same command again to resume")
    if failure is not None:
        raise failure


def _show(queue: SimpleQueue, display: "Display") -> None:
    while (message := queue.get()) is not None:
        _show_one(message, display)


def _show_one(message: tuple, display: "Display") -> None:
    """Show a report. If the display fails (a closed pipe), reading goes on: otherwise every process would wait in `send`."""
    with contextlib.suppress(Exception):
        display.update(*message)
