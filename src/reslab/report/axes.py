"""The axes of a study's figures: the quantities that it varies, and what they cost."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from reslab.config.settings import Settings, flatten, flow, varied
from reslab.config.study import Study
from reslab.report.statistics.failures import trained

KNOWN = {
    "model.name": "model",
    "model.depth": "depth",
    "model.tau": "tau",
    "train.batch_size": "batch size",
    "optimizer.lr": "learning rate",
}
DIGITS = 6  # of a number in a label
MOST_SERIES = 8  # of a panel: more are hard to tell apart
MOST_PANELS = 9  # by the values of one setting
Panels = dict[str, list[str]]  # title -> what is in the panel
COSTS = {
    "cost": "multiply-adds of the forward passes over all training images",
    "seconds": "seconds per network",
}


@dataclass(frozen=True)
class Axis:
    """A quantity that the study varies: its name, its place among the settings ("" for a cost), and experiment -> value."""

    name: str
    path: str
    values: dict[str, float]

    def known(self) -> "Axis":
        """The axis without the experiments whose value is not finite."""
        return replace(self, values={name: value for name, value in self.values.items() if math.isfinite(value)})


@dataclass(frozen=True)
class Series:
    """One entry of a legend: its label, its place in the order of colours, and the groups of experiments that a line joins."""

    label: str
    position: int
    groups: list[list[str]]


def study_settings(study: Study) -> dict[str, Settings]:
    """Experiment -> its settings."""
    return {name: flatten(experiment.sections) for name, experiment in study.experiments.items()}


def axes(study: Study, summary: pd.DataFrame, runs: pd.DataFrame) -> list[Axis]:
    """The numeric settings that the study varies, known ones first, and its costs; an axis has at least two values."""
    settings = study_settings(study)
    paths = varied(settings)
    candidates = [Axis(_name(path), path, {name: _number(found.get(path)) for name, found in settings.items()}) for path in paths]
    tau = Axis("tau", "model.tau", summary.set_index("experiment")["tau"].to_dict())
    candidates = [tau, *(axis for axis in candidates if axis.path != tau.path)]
    candidates.sort(key=lambda axis: _rank(axis.path))
    costs = [Axis(title, "", _cost(runs, key)) for key, title in COSTS.items()]
    known = [axis.known() for axis in candidates + costs]
    return [axis for axis in known if len(set(axis.values.values())) > 1]


def series(axis: Axis, settings: dict[str, Settings]) -> list[Series]:
    """The series of a figure against an axis: a line joins experiments that differ in nothing else.

    More than MOST_SERIES groups have one colour for each of the study's panels. A series with the name of an experiment has the
    colour of that experiment's curve.
    """
    groups = joined(axis, settings)
    if len(groups) <= MOST_SERIES:
        order = list(settings) if groups.keys() <= settings.keys() else list(groups)
        return [Series(label, order.index(label), [members]) for label, members in groups.items()]
    apart = panels({label: _without(settings[members[0]], axis.path) for label, members in groups.items()})
    study = list(panels(settings))
    order = study if set(apart) <= set(study) else list(apart)
    return [Series(title, order.index(title), [groups[label] for label in labels]) for title, labels in apart.items()]


def _without(found: Settings, path: str) -> Settings:
    return {key: value for key, value in found.items() if key != path}


def joined(axis: Axis, settings: dict[str, Settings]) -> dict[str, list[str]]:
    """Label -> the experiments that differ in nothing but the axis; by name where an experiment is alone."""
    others = [path for path in varied(settings) if path != axis.path]
    groups: dict[tuple, list[str]] = {}
    for name in axis.values:
        groups.setdefault(tuple(_part(settings[name], path) for path in others), []).append(name)
    if not axis.path or len(groups) == len(axis.values):
        return {name: [name] for name in axis.values}
    labels = _distinct(list(groups))
    return {label or "ours": members for label, members in zip(labels, groups.values(), strict=True)}


def panels(settings: Mapping[str, Settings]) -> Panels:
    """Title -> the experiments of a panel: up to MOST_SERIES in one, more by their value of a setting.

    The setting is the first of KNOWN, else the one with the fewest values, that makes at most MOST_PANELS panels of at most
    MOST_SERIES experiments; without one, each panel takes the next MOST_SERIES experiments.
    """
    names = list(settings)
    if len(names) <= MOST_SERIES:
        return {"": names}
    found = {path: _by_value(settings, path) for path in varied(settings)}
    for path in sorted(found, key=lambda path: (_rank(path), len(found[path]))):
        groups = found[path]
        if len(groups) <= MOST_PANELS and max(map(len, groups.values())) <= MOST_SERIES:
            return groups
    parts = [names[start : start + MOST_SERIES] for start in range(0, len(names), MOST_SERIES)]
    return {f"part {number} of {len(parts)}": part for number, part in enumerate(parts, 1)}


def _by_value(settings: Mapping[str, Settings], path: str) -> Panels:
    """The experiments by their value of a setting."""
    groups: Panels = {}
    for name, found in settings.items():
        groups.setdefault(_part(found, path) or f"no {_name(path)}", []).append(name)
    return groups


def _rank(path: str) -> int:
    return list(KNOWN).index(path) if path in KNOWN else len(KNOWN)


def _part(found: Settings, path: str) -> str:
    return f"{_name(path)} {flow(found[path], digits=DIGITS)}" if path in found else ""


def _distinct(groups: list[tuple[str, ...]]) -> list[str]:
    """Labels of as few parts as tell the groups apart; the longest go first."""
    kept = list(range(len(groups[0])))
    for position in sorted(kept, key=lambda position: -max(len(group[position]) for group in groups)):
        fewer = [other for other in kept if other != position]
        if len({tuple(group[other] for other in fewer) for group in groups}) == len(groups):
            kept = fewer
    return [", ".join(group[position] for position in kept if group[position]) for group in groups]


def _name(path: str) -> str:
    return KNOWN.get(path) or path.removeprefix("model.").replace("_", " ").replace(".name", "")


def _number(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else math.nan


def _cost(runs: pd.DataFrame, key: str) -> dict[str, float]:
    """The mean over an experiment's networks that trained: those that diverged stopped early."""
    finished = trained(runs)
    if key == "cost":
        if not {"multiply_adds", "steps"} <= set(runs.columns):
            return {}
        sizes = finished["config"].map(lambda config: config["train"]["batch_size"])
        finished = finished.assign(cost=finished["multiply_adds"] * finished["steps"] * sizes)
    return finished.groupby("experiment", sort=False)[key].mean().to_dict()
