"""Several networks at once, one process each: the parent shows their progress, and none outlives it."""

import contextlib
import itertools
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.queues import SimpleQueue
from typing import ClassVar, Protocol

import psutil

from reslab.environment import end_with_parent
from reslab.errors import UserError
from reslab.runs.progress import Display

SECONDS_BETWEEN_REPORTS = 0.5


class Job(Protocol):
    """What a training process is given: anything that can be pickled and has a seed."""

    seed: int


class _Channel:
    """Where this process sends its reports: to the parent's queue or to the display; nowhere unless one of them is set."""

    send: ClassVar[Callable[[tuple], None] | None] = None


def _start_worker(queue: SimpleQueue) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
    end_with_parent()  # if it was killed, its successor resumes from the last checkpoint
    _Channel.send = queue.put


def report_to(display: Display) -> None:
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


def end_with_dvc() -> None:
    """Inside a DVC stage, end this process when DVC is killed: the next `dvc repro` would wait for the locks that it holds."""
    if "DVC_STAGE" not in os.environ:
        return
    parents = psutil.Process().parents()
    shells = list(itertools.takewhile(_is_of_a_stage, parents))  # DVC starts a shell: bash is replaced by this process, dash is not
    dvc = parents[len(shells)]

    def watch() -> None:
        while _is_running(dvc):
            time.sleep(SECONDS_BETWEEN_REPORTS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _is_of_a_stage(process: psutil.Process) -> bool:
    """Whether the process belongs to a DVC stage."""
    with contextlib.suppress(psutil.Error):
        return "DVC_STAGE" in process.environ()
    return False


def _is_running(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def run_all(function: Callable[[Job], None], jobs: list[Job], *, workers: int, display: Display) -> Iterator[Job]:
    """Call `function` with each job in a pool of new processes and yield each job when it is done.

    The first exception is raised when the others have ended, UserError if a process was killed. Ctrl-C ends all of them.
    """
    context = multiprocessing.get_context("spawn")  # a forked process would hang in torch's threads or in CUDA
    queue = context.SimpleQueue()
    listener = threading.Thread(target=_show, args=(queue, display), daemon=True)
    listener.start()
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker, initargs=(queue,))
    futures = {pool.submit(function, job): job for job in jobs}
    failure = None
    try:
        for future in as_completed(futures):
            failure = failure or future.exception()
            if future.exception() is None:
                yield futures[future]
    except BaseException:
        for process in list((pool._processes or {}).values()):
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
        queue.put(None)
        listener.join()
    if isinstance(failure, BrokenProcessPool):
        raise UserError("a training process was killed (out of memory?); run the same command again to resume")
    if failure is not None:
        raise failure


def _show(queue: SimpleQueue, display: Display) -> None:
    while (message := queue.get()) is not None:
        _show_one(message, display)


def _show_one(message: tuple, display: Display) -> None:
    """Show a report. If the display fails (a closed pipe), reading goes on: otherwise every process would wait in `send`."""
    with contextlib.suppress(Exception):
        display.update(*message)
