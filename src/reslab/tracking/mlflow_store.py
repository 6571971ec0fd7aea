"""An MLflow store with the study in it, and what is written there."""

import hashlib
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from reslab.errors import UserError
from reslab.runs.reports import EpochEnded
from reslab.tracking import networks, opening, views
from reslab.tracking.address import database_path, is_http, is_remote, tracking_uri
from reslab.tracking.networks import KIND, PARENT, RUN_KEY, STATUS, TrainedNetwork
from reslab.tracking.patience import Watched, watched
from reslab.tracking.results import ExperimentResult
from reslab.tracking.study_runs import StudyRuns, complete

if TYPE_CHECKING:  # mlflow takes seconds to import
    from mlflow.entities import Metric, Run

EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}  # the UI opens on training runs, not on GenAI pages
SECONDS_FOR_A_MAKER, SECONDS_FOR_THE_OTHERS = 60, 9  # a database is made in a few seconds, on a busy machine in more
DEFAULTS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # which is for results
}


class Store:
    """An open MLflow store with the study's experiment in it."""

    def __init__(self, root: Path, study: str) -> None:
        self.uri = uri = tracking_uri(root)
        self.root, self.study = root, study
        for name, value in DEFAULTS.items():
            os.environ.setdefault(name, value)
        # Two processes that create the database, an experiment or its run at once break or double it: one at a time.
        self.lock = FileLock(root / ".mlflow.lock", timeout=SECONDS_FOR_A_MAKER if _to_be_made(uri) else SECONDS_FOR_THE_OTHERS)
        with self.lock:
            watched(opening, uri).check(uri)
            # A file as well: MLflow waits 20 seconds for each lock of another process, and artifacts may go through a network.
            self.client = Watched(opening.client(uri), counted=is_remote(uri))
            self.experiment_id = self._experiment()
        self.runs = StudyRuns(self.client, self.experiment_id)

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

    def begin(self, network: TrainedNetwork) -> "LiveRun | None":
        """Show that a network trains: its run and its experiment's, new or taken up again. None if its run is complete."""
        found = self.runs.find(network.key)
        if found is not None and complete(found):
            return None
        experiment = self._experiment_run(network, running=True)
        run = self._network_run(network, experiment, found)
        self.runs.add_history(run, _metrics(network))  # epochs of before, if the server was away then
        done = self.runs.epochs(run) | {int(row["epoch"]) for row in network.history}
        return LiveRun(run.info.run_id, experiment, done)

    def log_epochs(self, live: "LiveRun", epochs: Sequence[EpochEnded]) -> None:
        """Log epochs in one call, with the times when they ended; those that the run has already are left."""
        from mlflow.entities import Metric

        new = [epoch for epoch in epochs if int(epoch.row["epoch"]) not in live.epochs]
        live.epochs |= {int(epoch.row["epoch"]) for epoch in new}
        live.ended = max([live.ended, *(int(epoch.at * 1000) for epoch in epochs)])
        self.runs.log_metrics(
            live.run_id,
            [
                Metric(key, value, int(epoch.at * 1000), int(epoch.row["epoch"]))
                for epoch in new
                for key, value in networks.live_metrics(epoch)
            ],
        )

    def end(self, live: "LiveRun", status: str) -> None:
        """End the run of a network that did not come to its end: KILLED, or FAILED."""
        self.client.set_tag(live.run_id, STATUS, status.lower())
        self.client.set_terminated(live.run_id, status)

    def log(self, network: TrainedNetwork, live: "LiveRun | None" = None) -> str:
        """Log a network with its whole history, below its experiment's run, and return the run's id.

        What its run has already is not logged again. Of a run that is complete only the place is mended, if its experiment's run
        was deleted or never made. A `live` run ends with its last epoch, and its experiment's run later; others by the record.
        """
        experiment = live.experiment if live else self._experiment_run(network)
        run = self.runs.find(network.key)
        if run is None or not complete(run):
            run = self._complete(network, experiment, run, ended=max(network.ended, live.ended if live else 0))
        else:
            self.runs.set_tags(run, {PARENT: experiment, KIND: "network"})
            if network.run_status not in (run.info.status, "KILLED"):
                self.client.set_terminated(run.info.run_id, network.run_status, end_time=run.info.end_time)
        if live is None:
            self.runs.settle(experiment)
        return run.info.run_id

    def _complete(self, network: TrainedNetwork, experiment: str, found: "Run | None", *, ended: int) -> "Run":
        """Bring the run of a network to its end, as its files tell; one that tells of another history is replaced."""
        run = self._network_run(network, experiment, found)
        if not self.runs.add_history(run, _metrics(network)):  # it went on on another device
            self.client.delete_run(run.info.run_id)
            run = self._network_run(network, experiment, None)
            self.runs.add_history(run, _metrics(network))
        self.runs.update_metrics(run, networks.totals(network.record))
        for name in ("record.json", "history.csv"):  # not the weights: DVC has them
            self.client.log_artifact(run.info.run_id, str(network.folder / name))
        self.client.set_terminated(run.info.run_id, network.run_status, end_time=ended)
        return run

    def _network_run(self, network: TrainedNetwork, experiment: str, found: "Run | None") -> "Run":
        """The run of a network under way, with all that is known before it trains."""
        tags = networks.network_tags(network, experiment)
        if found is None:
            run = self.runs.start(network.name, tags, network.started)
        else:
            run = found
            self.runs.take_up(run, tags)
        self.runs.log_params(run, networks.params(network.record))
        self.runs.log_dataset(run, network.record)
        return run

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
            if run := self.runs.find_complete(networks.network_key(result.experiment, record)):
                self.runs.update_metrics(run, networks.final_scores(record))
            else:
                missing.append(f"{result.experiment}-s{record['seed']}")
        if run := self.runs.find_complete(networks.experiment_key(result.experiment, result.runs[0])):
            self.runs.update_metrics(run, result.statistics)
            self.runs.set_tags(run, result.tags)
        return missing

    def log_report(self, folders: list[Path]) -> str:
        """Log the study's tables and plots as the run `summary`, once for the same files.

        Its numbers are not logged: as metrics they would crowd the networks' curves out of the UI's charts.
        """
        files = sorted(path for folder in folders for path in folder.rglob("*") if path.is_file())
        key = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:16]
        if found := self.runs.find_complete(key):
            return found.info.run_id
        tags = {RUN_KEY: key, KIND: "report", "experiment": "summary", "mlflow.source.name": "stages/aggregate.py"}
        tags |= networks.origin({"commit": self._commit()})
        run_id = self.runs.start("summary", tags).info.run_id
        for folder in folders:
            self.client.log_artifacts(run_id, str(folder), folder.name)
        self.client.set_terminated(run_id, "FINISHED")
        return run_id

    def _commit(self) -> str | None:
        """The commit at which the study's networks were trained last."""
        return self.client.get_experiment(self.experiment_id).tags.get(networks.COMMIT)

    def _share_views(self, results: list[ExperimentResult]) -> None:
        """Keep the ready-made views of the UI as tags of the study, where its own button `Share` keeps them."""
        found = self.client.get_experiment(self.experiment_id).tags
        for tag, view in views.shared(results).items():
            if found.get(tag) != view:
                self.client.set_experiment_tag(self.experiment_id, tag, view)

    def _experiment_run(self, network: TrainedNetwork, *, running: bool = False) -> str:
        """The id of the run of a network's experiment, which lasts from its first network to its last."""
        tags = networks.experiment_tags(network.experiment, network.record)
        with self.lock:
            run = self.runs.find(tags[RUN_KEY])
            if run is None:
                self._tag_study(network)
                run = self.runs.start(network.experiment, tags, network.started)
            elif running or not complete(run):
                self.runs.take_up(run, tags)
            self.runs.log_params(run, networks.params(network.record))
            self.runs.log_dataset(run, network.record)
        return run.info.run_id

    def _tag_study(self, network: TrainedNetwork) -> None:
        """Say of the study who worked on it last, and at which commit."""
        found = self.client.get_experiment(self.experiment_id).tags
        for key, value in networks.origin(network.record).items():
            if found.get(key) != value:
                self.client.set_experiment_tag(self.experiment_id, key, value)


@dataclass
class LiveRun:
    """The run of a network that trains: its id, its experiment's, the epochs that it has, and when the last one ended."""

    run_id: str
    experiment: str
    epochs: set[int]
    ended: int = 0  # milliseconds since 1970


def _to_be_made(uri: str) -> bool:
    """Whether the store is an sqlite file that is not there yet."""
    path = database_path(uri)
    return path is not None and not path.exists()


def _metrics(network: TrainedNetwork) -> "Iterator[Metric]":
    from mlflow.entities import Metric

    return (Metric(*values) for values in networks.metrics(network))
