"""An MLflow store with the study in it, and what is written there."""

import hashlib
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from reslab.errors import UserError
from reslab.tracking import networks, opening, views
from reslab.tracking.address import is_http, is_remote, tracking_uri
from reslab.tracking.networks import KIND, PARENT, RUN_KEY, TrainedNetwork
from reslab.tracking.patience import Watched
from reslab.tracking.results import ExperimentResult

if TYPE_CHECKING:  # mlflow takes seconds to import
    from mlflow.entities import Run

EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}  # the UI opens on training runs, not on GenAI pages
PARAMS_PER_CALL, METRICS_PER_CALL = 100, 1000  # the server's limits
SECONDS_FOR_THE_OTHERS = 60  # one that makes the database takes a few
HTTP_DEFAULTS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false",
}


class Store:
    """An open MLflow store with the study's experiment in it."""

    def __init__(self, root: Path, study: str) -> None:
        self.uri = uri = tracking_uri(root)
        self.root, self.study = root, study
        for name, value in HTTP_DEFAULTS.items():
            os.environ.setdefault(name, value)
        # Two processes that create the database, an experiment or its run at once break or double it: one at a time.
        self.lock = FileLock(root / ".mlflow.lock", timeout=SECONDS_FOR_THE_OTHERS)
        with self.lock:
            opening.check(uri)
            client = opening.client(uri)
            self.client = Watched(client) if is_remote(uri) else client
            self.experiment_id = self._experiment()

    def _experiment(self) -> str:
        """The id of the study's experiment, made if it is not there, restored if it was deleted."""
        found = self.client.get_experiment_by_name(self.study)
        if found is None:
            location = None if is_http(self.uri) else (self.root / "mlartifacts" / self.study).as_uri()
            return self.client.create_experiment(self.study, location, EXPERIMENT_TAGS)
        if found.lifecycle_stage == "deleted":  # MLflow keeps its name
            self.client.restore_experiment(found.experiment_id)
            print(f"note: MLflow's experiment {self.study} had been deleted; it is restored", file=sys.stderr)
        return found.experiment_id

    def log(self, network: TrainedNetwork) -> str:
        """Log a network with its whole history, below its experiment's run, and return the run's id.

        Of a run that is complete only the place is mended, if its experiment's run was deleted or never made. The run of a network
        that was told to stop is logged anew when there is more to say.
        """
        parent = self._experiment_run(network)
        if found := self._complete_run(network.key):
            if found.data.tags.get(PARENT) != parent:
                self._set_tags(found, {PARENT: parent, KIND: "network"})
            return found.info.run_id
        run_id = self._start(network.name, networks.network_tags(network, parent), network.started)
        self._log_params(run_id, networks.params(network.record))
        self._log_metrics(run_id, network)
        for name in ("record.json", "history.csv"):  # not the weights: DVC has them
            self.client.log_artifact(run_id, str(network.folder / name))
        self.client.set_terminated(run_id, "KILLED" if network.killed else "FINISHED", end_time=network.ended)
        return run_id

    def log_results(self, results: list[ExperimentResult]) -> None:
        """Add evaluate's scores to the networks' runs, statistics over seeds and verdicts to the experiments'.

        Numbers that are there already are left. Raises UserError, after everything else was logged, for networks that have no
        run: train could not reach the store.
        """
        missing = [name for result in results for name in self._log_result(result)]
        self._share_views(results)
        if missing:
            raise UserError(f"no run of {', '.join(missing)}")

    def _log_result(self, result: ExperimentResult) -> list[str]:
        """Log one experiment's results and return the names of the networks that have no run."""
        missing = []
        for record in result.runs:
            if run := self._complete_run(networks.network_key(result.experiment, record)):
                self._update_metrics(run, networks.final_scores(record))
            else:
                missing.append(f"{result.experiment}-s{record['seed']}")
        if run := self._complete_run(networks.experiment_key(result.experiment, result.runs[0])):
            self._update_metrics(run, result.statistics)
            self._set_tags(run, result.tags)
        return missing

    def log_report(self, folders: list[Path]) -> str:
        """Log the study's tables and plots as the run `summary`, once for the same files.

        Its numbers are not logged: as metrics they would crowd the networks' curves out of the UI's charts.
        """
        files = sorted(path for folder in folders for path in folder.rglob("*") if path.is_file())
        key = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:16]
        if found := self._complete_run(key):
            return found.info.run_id
        run_id = self._start("summary", {RUN_KEY: key, KIND: "report", "experiment": "summary"})
        for folder in folders:
            self.client.log_artifacts(run_id, str(folder), folder.name)
        self.client.set_terminated(run_id, "FINISHED")
        return run_id

    def _share_views(self, results: list[ExperimentResult]) -> None:
        """Keep the ready-made views of the UI as tags of the study, where its own button `Share` keeps them."""
        found = self.client.get_experiment(self.experiment_id).tags
        for tag, view in views.shared(results).items():
            if found.get(tag) != view:
                self.client.set_experiment_tag(self.experiment_id, tag, view)

    def _experiment_run(self, network: TrainedNetwork) -> str:
        """The id of the run of a network's experiment, which lasts from its first network to its last."""
        tags = networks.experiment_tags(network.experiment, network.record)
        with self.lock:
            if found := self._complete_run(tags[RUN_KEY], ("FINISHED", "KILLED")):
                run_id, before, ended = found.info.run_id, found.info.status, found.info.end_time
            else:
                run_id, before, ended = self._start(network.experiment, tags, network.started), None, 0
                self._log_params(run_id, networks.params(network.record))
            status = "KILLED" if network.killed and before != "FINISHED" else "FINISHED"
            if network.ended > ended or status != before:
                self.client.set_terminated(run_id, status, end_time=max(network.ended, ended))
        return run_id

    def _complete_run(self, key: str, complete: Sequence[str] = ("FINISHED",)) -> "Run | None":
        """The run that has this key and is `complete`; one that was cut off while it was logged is deleted."""
        found = self.client.search_runs([self.experiment_id], f"tags.`{RUN_KEY}` = '{key}'")
        for run in found:
            if run.info.status not in complete:
                self.client.delete_run(run.info.run_id)
        return next((run for run in found if run.info.status in complete), None)

    def _start(self, name: str, tags: dict[str, str], start_time: int | None = None) -> str:
        return self.client.create_run(self.experiment_id, start_time=start_time, run_name=name, tags=tags).info.run_id

    def _set_tags(self, run: "Run", tags: Mapping[str, str]) -> None:
        for key, value in tags.items():
            if run.data.tags.get(key) != value:
                self.client.set_tag(run.info.run_id, key, value)

    def _log_params(self, run_id: str, values: Mapping[str, str]) -> None:
        from mlflow.entities import Param

        params = [Param(key, value) for key, value in values.items()]
        for start in range(0, len(params), PARAMS_PER_CALL):
            self.client.log_batch(run_id, params=params[start : start + PARAMS_PER_CALL])

    def _log_metrics(self, run_id: str, network: TrainedNetwork) -> None:
        from mlflow.entities import Metric

        metrics = [Metric(key, value, network.started, step) for key, value, step in networks.metrics(network)]
        for start in range(0, len(metrics), METRICS_PER_CALL):
            self.client.log_batch(run_id, metrics=metrics[start : start + METRICS_PER_CALL])

    def _update_metrics(self, run: "Run", values: Mapping[str, float]) -> None:
        """Log the numbers that the run does not have yet, or has otherwise: the latest counts."""
        from mlflow.entities import Metric

        now, found = int(time.time() * 1000), run.data.metrics
        if changed := [Metric(key, value, now, 0) for key, value in values.items() if found.get(key) != value]:
            self.client.log_batch(run.info.run_id, metrics=changed)
