"""A stranger's regular expressions: compiled without surprises, and matched for no longer than a second in all."""

import re
import signal
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from pydantic import PlainValidator
from pydantic_core import PydanticCustomError

from reslab.errors import UserError

LONGEST = 1000  # characters of a pattern, of a new name and of a tensor's name: real ones have under 100
SECONDS = 1.0  # of computing: a network of 1,202 layers takes a tenth of it
LEAST = 1e-4  # seconds for a timer: of too few it makes zero, which means none
AGAIN = 0.05  # seconds to the next signal, should the error of the first get lost, as it does in a finalizer


def compiled(text: Any) -> re.Pattern[str]:
    """The pattern of a text; raises pydantic's error for what is none."""
    if not isinstance(text, str) or len(text) > LONGEST:
        raise PydanticCustomError("pattern", f"Input should be a regular expression of at most {LONGEST} characters")
    try:
        with warnings.catch_warnings(action="ignore"):  # of what Python will read otherwise some day
            return re.compile(text)
    except (re.error, RecursionError, OverflowError, MemoryError) as error:
        raise PydanticCustomError("pattern", "Input should be a valid regular expression") from error


Pattern = Annotated[re.Pattern[str], PlainValidator(compiled)]


class Limit:
    """The time that the patterns of one key map may take together; some patterns would take years for one name."""

    def __init__(self) -> None:
        self.seconds, self.left = SECONDS, SECONDS

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Raise UserError within if the time is up; Python's matcher looks for signals while it works.

        Signals reach the main thread only: in another one nothing is limited.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        if self.left < LEAST:
            self._stop()
        before, started = signal.signal(signal.SIGVTALRM, self._stop), time.process_time()
        try:
            try:
                signal.setitimer(signal.ITIMER_VIRTUAL, self.left, AGAIN)
                yield
            finally:
                signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        finally:  # also if a second signal came in the first
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            signal.signal(signal.SIGVTALRM, before)
            self.left -= time.process_time() - started

    def _stop(self, *_: Any) -> None:
        raise UserError(
            f"matching the names takes more than {self.seconds:g} s of computing; write the pattern without a repeat inside a"
            " repeat, such as (a+)+"
        )
