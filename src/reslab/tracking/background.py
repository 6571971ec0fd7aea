"""Logging to MLflow beside training: it takes seconds to load and to write to, in which networks can train."""

import queue
import threading
import time
from collections import defaultdict
from pathlib import Path

from reslab import stop
from reslab.runs.reports import Began, EpochEnded, Report
from reslab.tracking.logged import is_logged
from reslab.tracking.mlflow_store import LiveRun, Store
from reslab.tracking.networks import TrainedNetwork
from reslab.tracking.patience import wait_for, warn
from reslab.tracking.system import Sampler

TIME_SHARE = 0.02  # the largest share of the time that is spent on logging epochs: short ones are logged several at once
MOST_SECONDS = 30.0  # that an epoch waits for it


class BackgroundLog:
    """Logs networks in a thread, also while they train; leaving the context waits for it, but not for a silent server.

    What cannot be logged is a warning, since the results are on disk, and nothing further is tried. MLflow is loaded by the thread,
    when the first network has started to train, or there is one that is not in the store.
    """

    def __init__(self, root: Path, study: str) -> None:
        self.root, self.study = root, study
        self.waiting: queue.SimpleQueue[Began | Report | TrainedNetwork | _End] = queue.SimpleQueue()
        self.thread = threading.Thread(target=self._log_all, name="mlflow", daemon=True)
        self.error: Exception | None = None
        self.live: _Live | None = None  # once there is something to log
        self.missing: list[str] = []  # networks that wait, and then those that are not logged

    def __enter__(self) -> "BackgroundLog":
        self.thread.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        failed = error is not None and not isinstance(error, stop.Stopped | KeyboardInterrupt)
        self.waiting.put(_End("FAILED" if failed else "KILLED"))
        try:
            wait_for(self.thread, in_all=True)
        except TimeoutError as silence:
            self.error = silence
        if self.missing:
            warn(", ".join(self.missing), self.error)

    def update(self, report: Report | Began) -> None:
        """Hear what a network that trains reports; returns at once."""
        if self.error is None and (isinstance(report, Began) or report.ended):
            self.waiting.put(report)

    def log(self, network: TrainedNetwork) -> None:
        """Log a network soon, as its files tell; returns at once."""
        self.missing.append(network.name)
        self.waiting.put(network)

    def _log_all(self) -> None:
        try:
            self._log_until_the_end()
        except Exception as error:  # noqa: BLE001 - whatever a store may raise; said in the end, once for all
            self.error = error
            if self.live:
                self.live.sampler.abandon()

    def _log_until_the_end(self) -> None:
        while True:
            for event in _gather(self.waiting, self.live.next_write if self.live else 0.0):
                if isinstance(event, _End):
                    return self.live.end(event.status) if self.live else None
                if self.live is None and isinstance(event, TrainedNetwork) and is_logged(self.root, self.study, event):
                    self.missing.remove(event.name)
                    continue
                self.live = self.live or _Live(Store(self.root, self.study))
                if name := self.live.take(event):
                    self.missing.remove(name)
            if self.live:
                self.live.write()


class _End:
    """The last in the queue: how the runs end of networks that did not come to their end."""

    def __init__(self, status: str) -> None:
        self.status = status


def _gather(waiting: queue.SimpleQueue, until: float) -> list:
    """The next event, and what comes until then as long as these are epochs: nothing else has to wait."""
    found = [waiting.get()]
    while not isinstance(found[-1], _End):
        left = until - time.monotonic()
        try:
            found.append(waiting.get(timeout=max(left, 0.0)) if isinstance(found[-1], Report) else waiting.get_nowait())
        except queue.Empty:
            break
    return found


class _Live:
    """The runs of networks that train, in a store."""

    def __init__(self, store: Store) -> None:
        self.store, self.sampler = store, Sampler(store)
        self.runs: dict[int, LiveRun | None] = {}
        self.experiments: set[str] = set()
        self.epochs: dict[int, list[EpochEnded]] = defaultdict(list)
        self.next_write = 0.0

    def take(self, event: Began | Report | TrainedNetwork) -> str | None:
        """Log one event, epochs only with the next `write`; returns the name of a network that is logged to its end."""
        if isinstance(event, Report):
            self.epochs[event.seed].append(event.ended)
            return None
        if isinstance(event, Began):
            network = TrainedNetwork.of(event)
            if live := self.store.begin(network):
                self.runs[event.record["seed"]] = live
                self.experiments.add(live.experiment)
                self.sampler.start(live.experiment)
            return None
        self.write()
        self.store.log(event, live=self.runs.pop(event.record["seed"], None))
        return event.name

    def write(self) -> None:
        """Log the epochs that wait, those of a network in one call; the next call is due when this was worth it."""
        began = time.monotonic()
        for seed, epochs in self.epochs.items():
            if live := self.runs.get(seed):
                self.store.log_epochs(live, epochs)
        self.epochs.clear()
        took = time.monotonic() - began
        self.next_write = began + min(took / TIME_SHARE, MOST_SECONDS)

    def end(self, status: str) -> None:
        """End all runs: those of networks that did not come to their end, then their experiments'.

        First comes how they ended, as a process that was told to stop has only seconds: the next start logs what is missing.
        """
        for live in self.runs.values():
            self.store.end(live, status)
        self.write()
        self.sampler.finish()
        for experiment in self.experiments:
            self.store.runs.settle(experiment)
