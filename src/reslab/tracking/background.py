"""Logging to MLflow beside training: it takes seconds to load and to write to, in which networks can train."""

import queue
import threading
from pathlib import Path

from reslab.tracking.logged import is_logged
from reslab.tracking.mlflow_store import Store
from reslab.tracking.networks import TrainedNetwork
from reslab.tracking.patience import wait_for, warn

OPEN = "open"  # what `prepare` asks for


class BackgroundLog:
    """Logs trained networks in a thread; leaving the context waits for it, but not for a server that does not answer.

    MLflow is loaded by `prepare`, or once there is a network that is not in the store. A network that cannot be logged is a
    warning, since its results are on disk, and nothing further is tried.
    """

    def __init__(self, root: Path, study: str) -> None:
        self.root, self.study = root, study
        self.waiting: queue.SimpleQueue[TrainedNetwork | str | None] = queue.SimpleQueue()
        self.thread = threading.Thread(target=self._log_all, name="mlflow", daemon=True)
        self.error: Exception | None = None
        self.missing: list[str] = []  # networks that wait, and then those that are not logged

    def __enter__(self) -> "BackgroundLog":
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.waiting.put(None)
        try:
            wait_for(self.thread)
        except TimeoutError as silence:
            self.error = silence
        if self.missing:
            warn(", ".join(self.missing), self.error)

    def prepare(self) -> None:
        """Open the store soon: networks are about to be trained."""
        self.waiting.put(OPEN)

    def log(self, network: TrainedNetwork) -> None:
        """Log a network soon; returns at once."""
        self.missing.append(network.name)
        self.waiting.put(network)

    def _log_all(self) -> None:
        store = None
        try:
            while (asked := self.waiting.get()) is not None:
                if asked == OPEN:
                    store = store or Store(self.root, self.study)
                    continue
                if store is not None or not is_logged(self.root, self.study, asked):
                    store = store or Store(self.root, self.study)
                    store.log(asked)
                self.missing.remove(asked.name)
        except Exception as error:  # noqa: BLE001 - whatever a store may raise; said in the end, once for all
            self.error = error
