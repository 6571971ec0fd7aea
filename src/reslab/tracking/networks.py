"""Trained networks as MLflow logs them: names, keys, parameters, metrics and tags, all from their records."""

import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reslab.config.settings import flatten
from reslab.runs import network_files

# One key a run in MLflow, whatever it shows; the others are what the UI filters, groups and nests by.
RUN_KEY, KIND, PARENT = "reslab.run", "kind", "mlflow.parentRunId"
COUNTS = ("parameters", "multiply_adds")
SPLITS, SCORES = ("train", "validation", "test"), ("error", "top5_error", "loss", "ece")


@dataclass(frozen=True)
class TrainedNetwork:
    """A trained network to log: its record, its history (one row an epoch) and its folder."""

    experiment: str
    record: dict[str, Any]
    history: list[dict[str, float]]
    folder: Path

    @classmethod
    def read(cls, experiment: str, folder: Path) -> "TrainedNetwork":
        """Read what train wrote into a seed's folder; raises UserError if it is missing or damaged."""
        record, history = network_files.read(folder, older=True)
        return cls(experiment, record, history, folder)

    @property
    def name(self) -> str:
        """resnet20-s0"""
        return f"{self.experiment}-s{self.record['seed']}"

    @property
    def key(self) -> str:
        """The key of its run in MLflow."""
        return network_key(self.experiment, self.record)

    @property
    def killed(self) -> bool:
        """Whether its training was told to stop, and may go on."""
        return self.record["status"] == "killed"

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


def metrics(network: TrainedNetwork) -> Iterator[tuple[str, float, int]]:
    """Name, value and step of everything that train measured: train_loss of epoch 3 is (train/loss, ..., 3)."""
    for row in network.history:
        for key, value in row.items():
            if key != "epoch":
                yield key.replace("_", "/", 1), value, int(row["epoch"])
    for key in ("seconds", "images_per_second", *COUNTS):
        yield key, network.record[key], 0


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


def experiment_tags(experiment: str, record: Mapping[str, Any]) -> dict[str, str]:
    """The tags of an experiment's run."""
    key = experiment_key(experiment, record)
    return {RUN_KEY: key, KIND: "experiment", "experiment": experiment, "mlflow.source.name": "params.yaml"}
