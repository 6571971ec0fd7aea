"""Several networks at once: one process each, their progress shown by the parent, nothing left running when it dies."""

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
    """What a worker is told: anything that can be pickled and has a seed."""

    seed: int


class _Reporter:
    """Where this process's progress goes: the parent's queue, or the display itself; nowhere outside a pool."""

    tell: ClassVar[Callable[[tuple], None] | None] = None
    last: ClassVar[dict[int, float]] = {}


def _start_worker(queue: SimpleQueue) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    end_with_parent()  # if it was killed, its successor resumes from the last checkpoint
    _Reporter.tell = queue.put


def report_to(display: Display) -> None:
    """Show what is reported in this process on this display."""
    _Reporter.tell = lambda message: _show_one(message, display)


def report(seed: int, done: int, total: int, text: str) -> None:
    """Tell the parent how far a seed is."""
    if _Reporter.tell is not None:
        _Reporter.tell((seed, done, total, text))


def heartbeat(seed: int, done: int, total: int) -> None:
    """Between two steps: now and then report progress."""
    if time.monotonic() - _Reporter.last.get(seed, 0.0) < SECONDS_BETWEEN_REPORTS:
        return
    _Reporter.last[seed] = time.monotonic()
    report(seed, done, total, "training")


def end_with_dvc() -> None:
    """Inside a DVC stage, end this process when DVC is killed: its successor would wait for the locks we hold."""
    if "DVC_STAGE" not in os.environ:
        return
    above = psutil.Process().parents()
    shells = list(itertools.takewhile(_is_of_a_stage, above))  # $SHELL starts us: bash becomes us, dash waits for us
    dvc = above[len(shells)]

    def watch() -> None:
        while _lives(dvc):
            time.sleep(SECONDS_BETWEEN_REPORTS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _is_of_a_stage(process: psutil.Process) -> bool:
    """Whether DVC started the process, or what started it, for a stage."""
    with contextlib.suppress(psutil.Error):
        return "DVC_STAGE" in process.environ()
    return False


def _lives(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def run_all(function: Callable[[Job], None], jobs: list[Job], *, workers: int, display: Display) -> Iterator[Job]:
    """Run `function` on each job in a pool of fresh processes and yield each job as it finishes.

    Raises the first failure after the others have ended, UserError if a process was killed. Ctrl-C ends all of them.
    """
    context = multiprocessing.get_context("spawn")  # a forked copy of torch's threads or CUDA would hang
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
        raise UserError("a training process was killed (out of memory?); run the same command again: it resumes")
    if failure is not None:
        raise failure


def _show(queue: SimpleQueue, display: Display) -> None:
    while (message := queue.get()) is not None:
        _show_one(message, display)


def _show_one(message: tuple, display: Display) -> None:
    """Show a report; a display that fails (a closed pipe) must not stop the reading, or every worker would wait."""
    with contextlib.suppress(Exception):
        display.update(*message)
