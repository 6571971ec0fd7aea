"""The load of the machine while networks train, by MLflow's own sampler: processors, memory, disk, network, GPUs."""

import os

from reslab.tracking.mlflow_store import Store
from reslab.tracking.patience import Watched, watched

SWITCH = "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING"  # MLflow's own; off where it is false
SECONDS, SAMPLES = 10, 3  # between samples, and how many are averaged: a call every half minute


class Sampler:
    """Samples the machine once for all networks, into the run of their experiment.

    GPUs need the package nvidia-ml-py; without it MLflow samples the rest. MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL and
    MLFLOW_SYSTEM_METRICS_SAMPLES_BEFORE_LOGGING set another rhythm.
    """

    def __init__(self, store: Store) -> None:
        self.uri, self.monitor = store.uri, None

    def start(self, run_id: str) -> None:
        """Start it for a run, unless it samples already or is switched off."""
        if self.monitor is not None or os.environ.get(SWITCH, "true").lower() in ("false", "0"):
            return
        from mlflow.system_metrics import system_metrics_monitor

        module = watched(system_metrics_monitor, self.uri)  # it asks the store for the run
        monitor = module.SystemMetricsMonitor(run_id, SECONDS, SAMPLES, resume_logging=True, tracking_uri=self.uri)
        monitor.start()
        self.monitor = watched(monitor, self.uri)

    def abandon(self) -> None:
        """Sample no more, and write nothing: the store has failed."""
        if self.monitor is not None:
            monitor = self.monitor.client if isinstance(self.monitor, Watched) else self.monitor
            monitor._shutdown_event.set()  # its `finish` would wait and write

    def finish(self) -> None:
        """End it, before its run ends."""
        if self.monitor is not None:
            self.monitor.finish()
