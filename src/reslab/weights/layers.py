"""Every layer of every network of a study, as it is initialised and as it was trained: tidy rows for tables and plots.

At further depths (`report.layers.depths`) at initialisation alone.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor, nn

from reslab import config
from reslab.config.study import Experiment, Study
from reslab.data.batches.order import Order
from reslab.data.batches.placement import placed
from reslab.data.normalize import Normalize
from reslab.data.prepared import Prepared
from reslab.errors import UserError, located
from reslab.experiment.bound import bound
from reslab.experiment.networks import build_network
from reslab.models.analysis import propagation
from reslab.report.statistics.growth import series_names
from reslab.report.trained_as import check_network
from reslab.runs import network_files
from reslab.weights.network import StoredNetwork, load_network

INITIAL, TRAINED = "at initialisation", "after training"


@dataclass(frozen=True)
class Network:
    """One network to measure, and the columns that tell its rows apart."""

    facts: dict
    module: nn.Module


def batch(data: Prepared, experiment: Experiment, count: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """The same training images for every network, drawn once from all classes, normalised as the experiment does.

    `count` of them, or all if there are fewer.
    """
    images, labels, _ = next(placed(data.train, Order(len(data.train), count), device).epoch(0))
    mean, std = bound(experiment).normalization(data)
    normalize = Normalize(mean, std, device=device, dtype=torch.float64)
    return normalize(images), labels


def networks(study: Study, data: Prepared, runs: Path, series: dict[str, str]) -> Iterator[tuple[Experiment, Network]]:
    """Each experiment's networks, new and trained, seed by seed; then each series at its further depths."""
    for experiment in study.experiments.values():
        for seed in study.seeds:
            facts = {"experiment": experiment.name, "series": series[experiment.name], "seed": seed}
            facts["depth"] = experiment.model.get("depth")
            folder = runs / experiment.name / f"seed{seed}"
            stored = load_network(folder, older=False)
            check_network(network_files.read(folder)[0], study, experiment.name, folder, seed=seed)
            yield experiment, Network(facts | {"moment": INITIAL}, initial(experiment.name, stored, data, seed))
            yield experiment, Network(facts | {"moment": TRAINED}, stored.classifier.network)
    for experiment, depth in further(study, series):
        for seed in study.seeds:
            name = f"{experiment.name}@depth{depth}"
            facts = {"experiment": name, "series": series[experiment.name], "seed": seed, "depth": depth, "moment": INITIAL}
            yield experiment, Network(facts, build_network(experiment.model | {"depth": depth}, data.facts, seed=seed))


def initial(name: str, stored: StoredNetwork, data: Prepared, seed: int) -> nn.Module:
    """A trained network before its first step: drawn from its seed, or with the weights that its training started from.

    Raises UserError if these are other weights by now.
    """
    return bound(config.from_sections(name, stored.description["config"])).network(data.facts, seed=seed)


def further(study: Study, series: dict[str, str]) -> list[tuple[Experiment, int]]:
    """The first experiment of each series that has a depth, with each depth that the series does not train."""
    first: dict[tuple, Experiment] = {}
    trained: dict[tuple, set[int]] = {}
    for experiment in study.experiments.values():
        if "depth" in experiment.model:
            key = (series[experiment.name], experiment.model["name"], experiment.model.get("norm"))
            first.setdefault(key, experiment)
            trained.setdefault(key, set()).add(experiment.model["depth"])
    return [(first[key], depth) for key in first for depth in study.report.layers.depths if depth not in trained[key]]


def check_depths(study: Study, data: Prepared, series: dict[str, str]) -> None:
    """Raise UserError for a further depth that does not exist, before anything is measured."""
    for experiment, depth in further(study, series):
        with located(f"report.layers.depths: {depth}"), torch.device("meta"):
            build_network(experiment.model | {"depth": depth}, data.facts, seed=0)


def check_complete(study: Study, runs: Path) -> None:
    """Raise UserError unless every network of the study is there: a clone has none before DVC has fetched or made them."""
    folders = [runs / name / f"seed{seed}" for name in study.experiments for seed in study.seeds]
    if missing := [folder for folder in folders if not folder.is_dir()]:
        more = f"; {len(missing) - 1} more are missing" if len(missing) > 1 else ""
        raise UserError(
            f"{missing[0]}: no such folder; trained networks are in data/runs/, where `dvc pull` or `dvc repro` puts them{more}"
        )


def names_of_series(study: Study, data: Prepared) -> dict[str, str]:
    """The series of each experiment, among the networks with batch norm and among those without."""
    groups = {}
    for experiment in study.experiments.values():
        with torch.device("meta"):
            groups[experiment.name] = propagation.has_batch_norm(build_network(experiment.model, data.facts, seed=0))
    return series_names({name: experiment.sections for name, experiment in study.experiments.items()}, groups)


def measured(study: Study, data: Prepared, runs: Path, device: torch.device) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tidy rows of every layer and of every point of the stream, of all networks."""
    responses, stream, series = [], [], names_of_series(study, data)
    check_depths(study, data, series)
    check_complete(study, runs)
    for experiment, network in networks(study, data, runs, series):
        module = network.module.to(device, torch.float64)
        signals = propagation.measure(module, *batch(data, experiment, study.report.layers.images, device))
        blocks = {"blocks": len(signals.stream) - 1}
        about = network.facts | blocks | {"tau": propagation.tau_of(module), "batch_norm": propagation.has_batch_norm(module)}
        responses += [about | asdict(layer) for layer in signals.layers]
        stream += [about | asdict(point) for point in signals.stream]
    return pd.DataFrame(responses), pd.DataFrame(stream)
