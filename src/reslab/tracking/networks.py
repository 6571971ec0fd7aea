"""Trained networks as MLflow logs them: names, keys, parameters, metrics and tags, all from their records."""

import contextlib
import getpass
import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reslab.config.settings import flatten
from reslab.runs import network_files
from reslab.runs.reports import Began, EpochEnded

# One key a run in MLflow, whatever it shows; the others are what the UI filters, groups and nests by.
RUN_KEY, KIND, PARENT, STATUS = "reslab.run", "kind", "mlflow.parentRunId", "status"
COMMIT = "mlflow.source.git.commit"
COUNTS = ("parameters", "multiply_adds")
DIGEST = 36  # characters that MLflow keeps of a dataset's checksum
SPLITS, SCORES = ("train", "validation", "test"), ("error", "top5_error", "loss", "ece")


@dataclass(frozen=True)
class TrainedNetwork:
    """A network to log: its record, its history (one row an epoch) and its folder, None while it trains."""

    experiment: str
    record: dict[str, Any]
    history: list[dict[str, float]]
    folder: Path | None

    @classmethod
    def read(cls, experiment: str, folder: Path) -> "TrainedNetwork":
        """Read what train wrote into a seed's folder; raises UserError if it is missing or damaged."""
        record, history = network_files.read(folder, older=True, stopped=True)
        return cls(experiment, record, history, folder)

    @classmethod
    def of(cls, began: Began) -> "TrainedNetwork":
        """A network that starts to train."""
        return cls(began.experiment, began.record, began.history, None)

    @property
    def name(self) -> str:
        """resnet20-s0"""
        return f"{self.experiment}-s{self.record['seed']}"

    @property
    def key(self) -> str:
        """The key of its run in MLflow."""
        return network_key(self.experiment, self.record)

    @property
    def run_status(self) -> str:
        """What MLflow calls the status of its training, which may go on if it was told to stop."""
        return {"running": "RUNNING", network_files.KILLED: "KILLED", "diverged": "FAILED"}.get(self.record["status"], "FINISHED")

    @property
    def started(self) -> int:
        """Milliseconds since 1970."""
        return int(self.record["started"] * 1000)

    @property
    def ended(self) -> int:
        """Milliseconds since 1970, without the time between runs that resumed one another."""
        return self.started + int(self.record["seconds"] * 1000)


def network_key(experiment: str, record: Mapping[str, Any]) -> str:
    """Unique within a study: a network trained once is one run, however often it is logged."""
    return f"{experiment}-s{record['seed']}-{record['identity']}-{record['started']:.0f}"


def experiment_key(experiment: str, record: Mapping[str, Any]) -> str:
    """Unique within a study: an experiment that was changed, and so trained anew, is another run."""
    return f"{experiment}-{record['identity']}"


def params(record: Mapping[str, Any]) -> dict[str, str]:
    """The settings by path, lists as JSON; `tau` is the number behind a rule such as 1/sqrt(L), which stays in `model.tau`."""
    settings = flatten(record["config"])
    if "tau" in record:
        settings["tau"] = record["tau"]
    return {key: json.dumps(value) if isinstance(value, list) else str(value) for key, value in settings.items()}


def metrics(network: TrainedNetwork) -> Iterator[tuple[str, float, int, int]]:
    """Name, value, milliseconds since 1970 and step of each epoch's numbers: train_loss of epoch 3 is (train/loss, ..., 3).

    When an epoch ended is not recorded: they are spread evenly over the time of training.
    """
    each = (network.ended - network.started) / max(1, len(network.history))
    for number, row in enumerate(network.history, 1):
        for key, value in row_metrics(row):
            yield key, value, network.started + round(number * each), int(row["epoch"])


def row_metrics(row: Mapping[str, float]) -> Iterator[tuple[str, float]]:
    """Name and value of the numbers in a row of the history, errors before the rate: MLflow compares runs by the first."""
    yield from ((key.replace("_", "/", 1), value) for key, value in reversed(row.items()) if key != "epoch")


def live_metrics(epoch: EpochEnded) -> Iterator[tuple[str, float]]:
    """Name and value of what is known of an epoch when it has just ended: also its times, which the history does not have."""
    yield from row_metrics(epoch.row)
    yield from (("epoch/seconds", epoch.seconds), ("epoch/images_per_second", epoch.images_per_second))


def totals(record: Mapping[str, Any]) -> dict[str, float]:
    """What a network took in all, and what it costs."""
    return {key: record[key] for key in ("seconds", "images_per_second", *COUNTS)}


def final_scores(record: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of the last epoch, evaluate's among them: test_ece is final/test_ece. Those that are not finite are left out."""
    found = {key: record.get(key) for key in (f"{split}_{score}" for split in SPLITS for score in SCORES)}
    return {f"final/{key}": float(value) for key, value in found.items() if value is not None and math.isfinite(value)}


def network_tags(network: TrainedNetwork, parent: str) -> dict[str, str]:
    """The tags of a network's run."""
    record = network.record
    tags = {
        RUN_KEY: network.key,
        KIND: "network",
        PARENT: parent,
        "experiment": network.experiment,
        "seed": str(record["seed"]),
        STATUS: record["status"],
        "dataset.checksum": record["dataset_checksum"],
        "device": record["device"],
        "torch": record.get("torch", ""),
        "git.dirty": str(record["dirty"]),
        "mlflow.source.name": "stages/train.py",
        "dvc.stage": os.environ.get("DVC_STAGE", ""),
    }
    return {key: value for key, value in (tags | origin(record)).items() if value}


def experiment_tags(experiment: str, record: Mapping[str, Any]) -> dict[str, str]:
    """The tags of an experiment's run."""
    key = experiment_key(experiment, record)
    return {RUN_KEY: key, KIND: "experiment", "experiment": experiment, "mlflow.source.name": "params.yaml"} | origin(record)


def origin(record: Mapping[str, Any]) -> dict[str, str]:
    """Whose the work is: the user, the commit and the name of DVC's experiment, so far as they are known."""
    user = ""
    with contextlib.suppress(OSError, KeyError, ImportError):  # a container's user may have no name
        user = getpass.getuser()
    tags = {"mlflow.user": user, COMMIT: record.get("commit"), "dvc.exp_name": os.environ.get("DVC_EXP_NAME")}
    return {key: value for key, value in tags.items() if value}


def dataset(record: Mapping[str, Any]) -> tuple[dict[str, str], str] | None:
    """The prepared dataset as MLflow describes one, and its splits; None in a record of the time before they were recorded."""
    if (told := record.get("dataset")) is None:
        return None
    splits = {key: count for key, count in told.items() if key != "name" and count}
    checksum = record["dataset_checksum"]
    source = {"path": "data/prepared", "sha256": checksum}
    described = {"source": json.dumps(source), "source_type": "local", "profile": json.dumps(splits)}
    return described | {"name": told["name"], "digest": checksum[:DIGEST]}, ", ".join(splits)
