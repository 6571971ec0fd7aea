"""Logging to MLflow beside training: it takes seconds to load and to write to, in which networks can train."""

import contextlib
import queue
import threading
from pathlib import Path

from reslab.tracking.mlflow_store import Store, attempt
from reslab.tracking.networks import TrainedNetwork


class BackgroundLog:
    """Logs trained networks in a thread; leaving the context waits for it.

    A network that cannot be logged is a warning, since its results are on disk.
    """

    def __init__(self, root: Path, study: str) -> None:
        self.root, self.study = root, study
        self.waiting: queue.SimpleQueue[TrainedNetwork | None] = queue.SimpleQueue()
        self.thread = threading.Thread(target=self._log_all, name="mlflow")
        self.store: Store | None = None

    def __enter__(self) -> "BackgroundLog":
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.waiting.put(None)
        self.thread.join()

    def log(self, network: TrainedNetwork) -> None:
        """Log a network soon; returns at once."""
        self.waiting.put(network)

    def _log_all(self) -> None:
        with contextlib.suppress(Exception):  # reported with the first network that cannot be logged
            self.store = Store(self.root, self.study)
        while (network := self.waiting.get()) is not None:
            attempt(lambda network=network: self._log(network), network.name)

    def _log(self, network: TrainedNetwork) -> None:
        self.store = self.store or Store(self.root, self.study)
        self.store.log(network)
