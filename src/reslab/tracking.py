"""MLflow: a view of the records on disk. The only file that imports mlflow; nothing else needs it to be there.

MLflow experiment = study, one flat run per trained network. Logging the same network again changes nothing.
"""

import hashlib
import json
import logging
import os
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from filelock import FileLock

from reslab import records
from reslab.errors import one_line

RUN_KEY = "reslab.run"
KIND = {"mlflow.experimentKind": "custom_model_development"}  # the UI opens on training runs, not on GenAI pages
PARAMS_PER_CALL, METRICS_PER_CALL = 100, 1000  # the server's limits
HTTP_DEFAULTS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}


@dataclass(frozen=True)
class TrainedNetwork:
    """What MLflow is told about one network: its record, its history (one row an epoch) and its folder."""

    experiment: str
    record: dict[str, Any]
    history: list[dict[str, float]]
    folder: Path

    @classmethod
    def read(cls, experiment: str, folder: Path) -> "TrainedNetwork":
        """Read what train wrote into a seed's folder."""
        record, history = records.read_record(folder / "record.json"), records.read_history(folder / "history.csv")
        return cls(experiment, record, history, folder)

    @property
    def name(self) -> str:
        """resnet20-s0"""
        return f"{self.experiment}-s{self.record['seed']}"

    @property
    def key(self) -> str:
        """Unique within a study: a network trained once is one run, however often it is logged."""
        return f"{self.name}-{self.record['identity']}-{self.record['started']:.0f}"


def tracking_uri(root: Path) -> str:
    """MLFLOW_TRACKING_URI if set, else the sqlite store in the main checkout."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{root / 'mlflow.db'}"


def attempt(action: Callable[[], Any], what: str) -> None:
    """Do something with MLflow; whatever goes wrong is a warning that says how to mend it, for the results are on disk."""
    try:
        action()
    except Exception as error:  # noqa: BLE001  (no failure of a tracking server may cost a result)
        print(f"warning: {what} not logged to MLflow ({one_line(error)}); `reslab relog` will log it", file=sys.stderr)


class Store:
    """An open MLflow store with the study's experiment in it."""

    def __init__(self, root: Path, study: str) -> None:
        self.uri = uri = tracking_uri(root)
        self.study = study
        _check_reachable(uri)
        for name, value in HTTP_DEFAULTS.items():
            os.environ.setdefault(name, value)
        from mlflow.tracking import MlflowClient

        logging.getLogger("mlflow").setLevel(logging.WARNING)  # it announces every table it creates
        # Two processes that create the database, or the experiment, at once break each other: one at a time.
        with FileLock(root / ".mlflow.lock"):
            self.client = MlflowClient(tracking_uri=uri)
            found = self.client.get_experiment_by_name(study)
            location = None if _is_http(uri) else (root / "mlartifacts" / study).as_uri()
            self.experiment_id = found.experiment_id if found else self.client.create_experiment(study, location, KIND)

    def log(self, network: TrainedNetwork) -> str:
        """Log a network with its whole history and return the run's id; an existing complete run is left as it is."""
        if found := self._complete_run(network.key):
            return found
        started = int(network.record["started"] * 1000)
        run_id = self._start(network.name, _tags(network), started)
        self._log_values(run_id, network, started)
        for name in ("record.json", "history.csv"):  # not the weights: DVC has them
            self.client.log_artifact(run_id, str(network.folder / name))
        self.client.set_terminated(run_id, "FINISHED", end_time=started + int(network.record["seconds"] * 1000))
        return run_id

    def log_report(self, folders: list[Path]) -> str:
        """Log the study's tables and plots as the run `summary`, once for the same files.

        Its numbers are not logged: as metrics they would crowd the networks' curves out of the UI's charts.
        """
        files = sorted(path for folder in folders for path in folder.rglob("*") if path.is_file())
        key = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:16]
        if found := self._complete_run(key):
            return found
        run_id = self._start("summary", {RUN_KEY: key, "experiment": "summary"})
        for folder in folders:
            self.client.log_artifacts(run_id, str(folder), folder.name)
        self.client.set_terminated(run_id, "FINISHED")
        return run_id

    def register(self, network: TrainedNetwork, model: Any, example: Any) -> str:
        """Add a network's model to the registry as `<study>-<experiment>` and return the version.

        `model` is a torch module, `example` a numpy batch that it takes; both decide the signature.
        """
        import mlflow
        import mlflow.pytorch

        run_id = self.log(network)
        end_time = self.client.get_run(run_id).info.end_time
        mlflow.set_tracking_uri(self.uri)
        with mlflow.start_run(run_id=run_id):
            logged = mlflow.pytorch.log_model(
                model,
                name="model",
                input_example=example,
                registered_model_name=f"{self.study}-{network.experiment}",
                pip_requirements=[f"torch=={network.record['torch'].split('+')[0]}", "numpy"],
            )
        self.client.set_terminated(run_id, "FINISHED", end_time=end_time)  # the run did not last until today
        return str(logged.registered_model_version)

    def _complete_run(self, key: str) -> str | None:
        """The id of the run that has this key; one that was cut off while it was logged is deleted."""
        for run in self.client.search_runs([self.experiment_id], f"tags.`{RUN_KEY}` = '{key}'"):
            if run.info.status == "FINISHED":
                return run.info.run_id
            self.client.delete_run(run.info.run_id)
        return None

    def _start(self, name: str, tags: dict[str, str], start_time: int | None = None) -> str:
        return self.client.create_run(self.experiment_id, start_time=start_time, run_name=name, tags=tags).info.run_id

    def _log_values(self, run_id: str, network: TrainedNetwork, timestamp: int) -> None:
        from mlflow.entities import Metric, Param

        params = [Param(key, str(value)) for key, value in flatten(network.record["config"]).items()]
        if "tau" in network.record:
            params.append(Param("tau", str(network.record["tau"])))  # the number behind a rule such as 1/sqrt(L)
        for start in range(0, len(params), PARAMS_PER_CALL):
            self.client.log_batch(run_id, params=params[start : start + PARAMS_PER_CALL])
        metrics = [Metric(key, value, timestamp, step) for key, value, step in _metrics(network)]
        for start in range(0, len(metrics), METRICS_PER_CALL):
            self.client.log_batch(run_id, metrics=metrics[start : start + METRICS_PER_CALL])


def _metrics(network: TrainedNetwork) -> Iterator[tuple[str, float, int]]:
    for row in network.history:
        for key, value in row.items():
            if key != "epoch":
                yield key.replace("_", "/", 1), value, int(row["epoch"])
    for key in ("seconds", "images_per_second", "parameters", "multiply_adds"):
        yield key, network.record[key], 0


def _tags(network: TrainedNetwork) -> dict[str, str]:
    record = network.record
    tags = {
        RUN_KEY: network.key,
        "experiment": network.experiment,
        "seed": str(record["seed"]),
        "status": record["status"],
        "dataset.checksum": record["dataset_checksum"],
        "device": record["device"],
        "git.dirty": str(record["dirty"]),
        "mlflow.source.name": "stages/train.py",
        "mlflow.source.git.commit": record["commit"] or "",
        "dvc.stage": os.environ.get("DVC_STAGE", ""),
        "dvc.exp_name": os.environ.get("DVC_EXP_NAME", ""),
    }
    return {key: value for key, value in tags.items() if value}


def _is_http(uri: str) -> bool:
    return uri.startswith(("http://", "https://"))


def _check_reachable(uri: str) -> None:
    """Fail within seconds where MLflow's own client would retry for minutes; raises OSError."""
    if _is_http(uri):
        address = urlsplit(uri)
        port = address.port or (443 if address.scheme == "https" else 80)
        socket.create_connection((address.hostname, port), timeout=3).close()


def flatten(config: dict, prefix: str = "") -> dict[str, Any]:
    """{"model": {"depth": 20}} -> {"model.depth": 20}; lists become JSON."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = json.dumps(value) if isinstance(value, list) else value
    return flat
