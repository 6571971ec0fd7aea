"""Fresh processes: copies of one that has loaded torch and done nothing, for loading it anew takes seconds each time."""

import multiprocessing
import os
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerContext
from typing import Any

LOADED = ["torch", "reslab.experiment.assemble"]


def fresh() -> ForkServerContext:
    """Where they come from; a copy of this process itself would hang in torch's threads or in CUDA."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(LOADED)
    return context


class TooLong(Exception):
    """A process did not answer before its part's time was over."""


def begin(variables: Mapping[str, str], until: float) -> None:
    """Begin a fresh process: set its environment, and end it with its parent or at the time `until` (of time.monotonic())."""
    os.environ.update(variables)
    parent = multiprocessing.parent_process()

    def end() -> None:
        wait([parent.sentinel], timeout=None if until == float("inf") else max(until - time.monotonic(), 0))
        os._exit(1)

    threading.Thread(target=end, daemon=True).start()


def result_of(future: Future, until: float) -> Any:
    """What a process computed; raises TooLong if its time is over first."""
    try:
        return future.result(None if until == float("inf") else max(until - time.monotonic(), 0))
    except (TimeoutError, BrokenProcessPool):
        if time.monotonic() >= until:
            raise TooLong("the time of this part was over") from None
        raise
