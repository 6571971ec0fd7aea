"""Doing something with MLflow without waiting for ever: a server that has stopped answering is left alone."""

import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from reslab import storage
from reslab.errors import UserError, one_line
from reslab.tracking.address import USER_VARIABLES, is_remote, without_secrets

SECONDS = 10.0  # of one call to a server, and of all calls that a stage waits for in the end


class _Calls:
    """The call that is under way in this process, and since when."""

    def __init__(self) -> None:
        self.since: float | None = None

    def silent(self) -> bool:
        """Whether the call has got no answer for too long."""
        return self.since is not None and time.monotonic() - self.since > SECONDS


_calls = _Calls()


class Watched:
    """A client of MLflow whose calls are watched."""

    def __init__(self, client: Any) -> None:
        self.client = client

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.client, name)

        def call(*arguments: Any, **options: Any) -> Any:
            _calls.since = time.monotonic()
            try:
                return method(*arguments, **options)
            finally:
                _calls.since = None

        return call


def watched(target: Any, uri: str) -> Any:
    """What talks to the store at this address, a client or a module: watched, if the store is reached through a network."""
    return Watched(target) if is_remote(uri) else target


def wait_for(thread: threading.Thread, *, in_all: bool = False) -> None:
    """Wait for a thread that talks to MLflow; raises TimeoutError and leaves it alone when it has got no answer for too long.

    `in_all`: also when it answers, but all the calls take too long together.
    """
    waited, before = 0.0, time.monotonic()
    while thread.is_alive():
        thread.join(0.1)
        now = time.monotonic()
        waited, before = waited + (now - before if _calls.since is not None else 0.0), now
        if thread.is_alive() and _calls.silent():
            raise TimeoutError(f"no answer for {SECONDS:.0f} s")
        if thread.is_alive() and in_all and waited > SECONDS:
            raise TimeoutError(f"too slow: not done after {SECONDS:.0f} s")


def patiently(action: Callable[[], Any]) -> Any:
    """Do something with MLflow; raises what it raises, and TimeoutError for a server that does not answer."""
    results, errors = [], []

    def act() -> None:
        try:
            results.append(action())
        except BaseException as error:  # noqa: BLE001 - raised below
            errors.append(error)

    thread = threading.Thread(target=act, name="mlflow", daemon=True)
    thread.start()
    wait_for(thread)
    if errors:
        raise errors[0]
    return results[0]


def required(action: Callable[[], Any], uri: str) -> Any:
    """Do what a command is there for; raises UserError with the store for what MLflow, a database or the network raises."""
    try:
        return patiently(action)
    except UserError:
        raise
    except Exception as error:
        if storage.explained(error):
            raise
        raise UserError(f"MLflow store {without_secrets(uri)}: {reason(error)}") from error


def attempt(action: Callable[[], Any], what: str) -> bool:
    """Do something with MLflow and return whether it went well; else a warning says how to mend it: the results are on disk."""
    try:
        patiently(action)
    except Exception as error:  # noqa: BLE001  (no failure of a tracking server may cost a result)
        warn(what, error)
        return False
    return True


def warn(what: str, error: Exception) -> None:
    """Say what is not in MLflow, why, and how it gets there."""
    print(f"warning: {what} not logged to MLflow ({reason(error)}); `reslab relog` will log it", file=sys.stderr)


def reason(error: Exception) -> str:
    """An error of MLflow, of a database or of the network: on one line, without passwords, not longer than one reads."""
    text = without_secrets(one_line(error))
    if getattr(error, "get_http_status_code", int)() == 401:
        text = f"the server does not know this user; set {' and '.join(USER_VARIABLES)}"
    elif "Invalid Host" in text:
        text = "the server answers only to its own name, not to the one of the address; see --allowed-hosts of `mlflow server`"
    return text if len(text) <= 300 else f"{text[:300]} ..."
