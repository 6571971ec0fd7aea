"""Logging to MLflow beside training: it takes seconds to load and to write to, in which networks can train."""

import queue
import threading
from pathlib import Path

from reslab.tracking.mlflow_store import Store
from reslab.tracking.networks import TrainedNetwork
from reslab.tracking.patience import wait_for, warn


class BackgroundLog:
    """Logs trained networks in a thread; leaving the context waits for it, but not for a server that does not answer.

    A network that cannot be logged is a warning, since its results are on disk, and nothing further is tried.
    """

    def __init__(self, root: Path, study: str) -> None:
        self.root, self.study = root, study
        self.waiting: queue.SimpleQueue[TrainedNetwork | None] = queue.SimpleQueue()
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

    def log(self, network: TrainedNetwork) -> None:
        """Log a network soon; returns at once."""
        self.missing.append(network.name)
        self.waiting.put(network)

    def _log_all(self) -> None:
        try:
            store = Store(self.root, self.study)
            while (network := self.waiting.get()) is not None:
                store.log(network)
                self.missing.remove(network.name)
        except Exception as error:  # noqa: BLE001 - whatever a store may raise; said in the end, once for all
            self.error = error
