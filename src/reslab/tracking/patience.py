"""Doing something with MLflow without waiting for ever: a server that has stopped answering is left alone."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from reslab import storage
from reslab.errors import UserError, one_line
from reslab.tracking.address import USER_VARIABLES, is_http, is_remote, without_secrets

SECONDS = 10.0  # of one call to a server, and of all calls that a stage waits for in the end
SLOW = 1.0  # seconds an answer, on average: a server that needs more is not waited for longer than that either

SLOW_LINE = 1e5  # bytes a second


class _Calls:
    """The call that is under way in this process, since when, and how many were answered before, in how many seconds."""

    def __init__(self) -> None:
        self.since: float | None = None
        self.answers, self.seconds = 0, 0.0

    @contextmanager
    def under_way(self, allowed: float = 0.0, *, counted: bool = True) -> Iterator[None]:
        """A call, or a part of one; it may take some seconds that are not counted, or not be `counted` among the answers at all."""
        if self.since is not None:
            yield
            return
        self.since = time.monotonic() + allowed
        try:
            yield
        finally:
            waited, self.since = self.waited(), None
            if counted:
                self.seconds, self.answers = self.seconds + waited, self.answers + 1

    def waited(self) -> float:
        """Seconds of the call that is under way."""
        since = self.since  # another thread may end it
        return 0.0 if since is None else max(0.0, time.monotonic() - since)


_calls = _Calls()


class Watched:
    """A client of MLflow whose calls are watched, each by itself; `counted`: also all of them together."""

    def __init__(self, client: Any, *, counted: bool = True) -> None:
        self.client, self.counted = client, counted

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.client, name)

        def call(*arguments: Any, **options: Any) -> Any:
            with _calls.under_way(counted=self.counted):
                return method(*arguments, **options)

        return call


def watched(target: Any, uri: str) -> Any:
    """What talks to the store at this address, a client or a module: watched, if the store is reached through a network."""
    return Watched(target) if is_remote(uri) else target


def wait_for(thread: threading.Thread, *, in_all: bool = False) -> None:
    """Wait for a thread that talks to MLflow; raises TimeoutError and leaves it alone when it gets no answers, or too slow ones.

    `in_all`: also when the server is quick, but all the calls take too long together.
    """
    seconds, answers = _calls.seconds + _calls.waited(), _calls.answers  # what is under way counts from now on
    while thread.is_alive():
        thread.join(0.1)
        waited, got = _calls.seconds + _calls.waited() - seconds, _calls.answers - answers
        if thread.is_alive() and _calls.waited() > SECONDS:
            raise TimeoutError(f"no answer for {SECONDS:.0f} s")
        if thread.is_alive() and waited > SECONDS and (in_all or waited > SLOW * (got + 1)):
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


@contextmanager
def one_failure_is_enough(uri: str) -> Iterator[None]:
    """A context in which a server that did not answer a request is asked nothing more.

    When something goes wrong MLflow's own functions tidy up with further requests, each of which waits for its answer. All
    requests are watched; large ones may take as long as a slow line needs.
    """
    if not is_http(uri):
        yield
        return
    import requests

    failed: list[requests.RequestException] = []

    def send(session: requests.Session, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        if failed:
            raise failed[0]
        try:
            with _calls.under_way(int(request.headers.get("Content-Length", 0)) / SLOW_LINE):
                return sending(session, request, **options)
        except requests.RequestException as error:
            failed.append(error)
            raise

    sending, requests.Session.send = requests.Session.send, send
    try:
        yield
    finally:
        requests.Session.send = sending


def required(action: Callable[[], Any], uri: str) -> Any:
    """Do what a command is there for; raises UserError with the store for what MLflow, a database or the network raises."""
    try:
        with one_failure_is_enough(uri):
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
    elif "Read timed out" in str(error):
        text = "no answer to a request in time"
    elif "Invalid Host" in text:
        text = "the server answers only to its own name, not to the one of the address; see --allowed-hosts of `mlflow server`"
    return text if len(text) <= 300 else f"{text[:300]} ..."
