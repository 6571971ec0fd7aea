"""Several networks at once: one process each, their progress shown by the parent, nothing left running when it dies."""

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.queues import SimpleQueue
from typing import Any, Protocol

from reslab.errors import UserError
from reslab.progress import Display

SECONDS_BETWEEN_REPORTS = 0.5


class Job(Protocol):
    """What a worker is told: anything that can be pickled and has a seed."""

    seed: int


class _Reporter:
    """The worker's end of the progress queue; silent outside a pool."""

    queue: SimpleQueue | None = None
    last = 0.0


def _start_worker(queue: SimpleQueue) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    _Reporter.queue = queue


def report(seed: int, done: int, total: int, text: str) -> None:
    """Tell the parent how far a seed is."""
    if _Reporter.queue is not None:
        _Reporter.queue.put((seed, done, total, text))


def watched(batches: Iterable[Any], seed: int, first_step: int, total: int) -> Iterator[Any]:
    """Pass batches on, report progress now and then, and end the process if its parent is gone."""
    parent = multiprocessing.parent_process()
    for step, batch in enumerate(batches, first_step):
        if time.monotonic() - _Reporter.last > SECONDS_BETWEEN_REPORTS:
            _Reporter.last = time.monotonic()
            if parent is not None and not parent.is_alive():
                os._exit(1)  # the parent was killed: its successor resumes from the last checkpoint
            report(seed, step, total, "training")
        yield batch


def end_with_dvc() -> None:
    """Inside a DVC stage, end this process when DVC is killed: its successor would wait for the locks we hold."""
    if "DVC_STAGE" not in os.environ:
        return
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(SECONDS_BETWEEN_REPORTS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


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
    """Show what workers report; a display that fails (a closed pipe) must not stop the reading, or every worker would wait."""
    while (message := queue.get()) is not None:
        with contextlib.suppress(Exception):
            display.update(*message)
