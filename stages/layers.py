"""Measure every layer of every network of the study: `python stages/layers.py data/runs data/layers metrics/layers`.

At initialisation and after training; at further depths (`report.layers.depths`) at initialisation alone.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor, nn

from reslab import config
from reslab.config.study import Experiment, Study
from reslab.data import prepared
from reslab.data.batches.order import Order
from reslab.data.batches.placement import placed
from reslab.data.normalize import Normalize
from reslab.data.prepared import Prepared
from reslab.environment import project_root
from reslab.errors import located, run
from reslab.experiment.bound import bound
from reslab.experiment.networks import build_network
from reslab.models.analysis import propagation
from reslab.report.figures.growth import plot_growth, plot_responses
from reslab.report.statistics.growth import growth, has_depths, series_names
from reslab.report.tables.growth import growth_markdown
from reslab.tracking import Store, attempt
from reslab.training.execution import hardware
from reslab.weights.network import load_network

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
            initial = build_network(experiment.model, data.facts, seed=seed)
            yield experiment, Network(facts | {"depth": experiment.model.get("depth"), "moment": INITIAL}, initial)
            trained = load_network(runs / experiment.name / f"seed{seed}", older=False).classifier.network
            yield experiment, Network(facts | {"depth": experiment.model.get("depth"), "moment": TRAINED}, trained)
    for experiment, depth in further(study, series):
        for seed in study.seeds:
            name = f"{experiment.name}@depth{depth}"
            facts = {"experiment": name, "series": series[experiment.name], "seed": seed, "depth": depth, "moment": INITIAL}
            yield experiment, Network(facts, build_network(experiment.model | {"depth": depth}, data.facts, seed=seed))


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
    for experiment, network in networks(study, data, runs, series):
        module = network.module.to(device, torch.float64)
        signals = propagation.measure(module, *batch(data, experiment, study.report.layers.images, device))
        blocks = {"blocks": len(signals.stream) - 1}
        about = network.facts | blocks | {"tau": propagation.tau_of(module), "batch_norm": propagation.has_batch_norm(module)}
        responses += [about | asdict(layer) for layer in signals.layers]
        stream += [about | asdict(point) for point in signals.stream]
    return pd.DataFrame(responses), pd.DataFrame(stream)


def main(
    runs: Path,
    rows: Path,
    metrics: Path,
    params: Path = Path("params.yaml"),
    data: Path = Path("data/prepared"),
) -> None:
    """Measure the study's networks, new and as trained in RUNS; tidy CSV into ROWS, tables and plots into METRICS."""
    study, loaded, device = config.load(params), prepared.load(data), hardware.choose_device()
    hardware.prepare(device, precision="float64", fast=False)
    with located(params):
        responses, stream = measured(study, loaded, runs, device)
    grown = growth(stream)
    for folder in (rows, metrics):
        folder.mkdir(parents=True, exist_ok=True)
    for table, path in ((responses, rows / "responses.csv"), (stream, rows / "stream.csv"), (grown, metrics / "growth.csv")):
        table.to_csv(path, index=False, lineterminator="\n", float_format="%.6g")
    (metrics / "growth.md").write_text(growth_markdown(grown), encoding="utf-8")
    trained = responses[responses["experiment"].isin(list(study.experiments))]
    plot_responses(trained, metrics / "responses_initial.svg", moment=INITIAL)
    plot_responses(trained, metrics / "responses_trained.svg", moment=TRAINED)
    if has_depths(grown):
        plot_growth(grown, metrics / "growth.svg", against="blocks")
    if grown["tau"].notna().any():
        plot_growth(grown, metrics / "threshold.svg", against="scaled")
    attempt(lambda: Store(project_root(), study.name).log_report([metrics]), "the layers")
    print((metrics / "growth.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    run(main)
