"""params.yaml -> a checked Study: sections merged into experiments, every error with its path and what is allowed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from reslab.config.names import check_experiments, check_name
from reslab.config.report import Report
from reslab.config.report import checked as checked_report
from reslab.config.schema import check, named, unknown
from reslab.config.start import InitFrom, init_from
from reslab.config.train import Train
from reslab.config.yaml import check_for_dvc, read_yaml
from reslab.errors import UserError, located, shown

SECTIONS = ("normalize", "model", "augment", "loss", "optimizer", "schedule", "train")
STUDY_KEYS = ("study", "seeds", "dataset", *SECTIONS, "experiments", "report")


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """One row of the study: what is trained once per seed."""

    name: str
    model: dict
    normalize: dict
    augment: list[dict]
    loss: dict
    optimizer: dict
    schedule: dict
    train: Train
    init_from: InitFrom | None = None  # of the section model, which is without it here
    sections: dict[str, Any]  # the merged YAML, as the user wrote it: what the description carries


@dataclass(frozen=True, kw_only=True)
class Study:
    """All of params.yaml."""

    name: str
    seeds: list[int]
    dataset: dict
    validation: int  # images held out of the training set, from dataset.validation
    experiments: dict[str, Experiment]
    report: Report

    def experiment(self, name: str) -> Experiment:
        """The experiment called `name`; raises UserError naming the others."""
        if name not in self.experiments:
            raise UserError(f"experiments: {unknown(name, self.experiments)}")
        return self.experiments[name]


def load(path: Path) -> Study:
    """Read and check a params file; raises UserError with file, path and allowed values."""
    with located(path):
        document = read_yaml(path)
        check_for_dvc(path.read_text(encoding="utf-8"))
        return parse(document)


def check_still(path: Path, before: Study, part: Callable[[Study], Any]) -> None:
    """Raise UserError if this part of a params file was edited since it was loaded.

    DVC notes for a stage what the file holds when the stage ends: the outputs would pass for those of the new settings.
    """
    if part(load(path)) != part(before):
        raise UserError(f"{path}: was edited while this stage ran; run `dvc repro` again: what is finished is kept")


def parse(document: Any) -> Study:
    """Check a parsed params document and merge its experiments; raises UserError."""
    if not isinstance(document, Mapping):
        raise UserError(f"expected a mapping with the keys {', '.join(STUDY_KEYS)}")
    _check_keys(document, STUDY_KEYS, "", required=[key for key in STUDY_KEYS if key != "report"])
    seeds = check(list[int], document["seeds"], "seeds")
    if not seeds or len(set(seeds)) != len(seeds) or min(seeds) < 0:
        raise UserError(f"seeds: {shown(seeds)} is not allowed: a list of at least one whole number >= 0, none repeated")
    rows = check_experiments(document)
    experiments = {name: _experiment(name, document, {} if row is None else row) for name, row in rows.items()}
    report = checked_report({} if document.get("report") is None else document["report"], experiments)
    dataset = named(document["dataset"], "dataset")
    validation = check(Annotated[int, Field(ge=0)], dataset.pop("validation", 0), "dataset.validation")
    name = check_name(document["study"], "study")
    return Study(name=name, seeds=seeds, dataset=dataset, validation=validation, experiments=experiments, report=report)


def from_sections(name: str, sections: Mapping) -> Experiment:
    """The experiment that a description carries: its sections are merged already."""
    return _experiment(name, sections, {})


def _experiment(name: str, defaults: Mapping, row: Mapping) -> Experiment:
    where = f"experiments.{name}"
    if not isinstance(row, Mapping):
        raise UserError(f"{where}: expected sections such as `model: {{depth: 20}}`, found {shown(row)}")
    _check_keys(row, SECTIONS, where)
    sections = {key: merge(defaults[key], row[key]) if key in row else defaults[key] for key in SECTIONS}
    checked = {key: named(sections[key], _origin(key, row, where)) for key in SECTIONS if key not in ("augment", "train")}
    train = check(Train, sections["train"], _origin("train", row, where))
    if problem := train.contradiction():
        raise UserError(f"{_origin('train', row, where)}: {problem}")
    start = init_from(checked["model"].pop("init_from", None), f"{_origin('model', row, where)}.init_from")
    place = _origin("augment", row, where)
    augment = [named(step, f"{place}[{i}]") for i, step in enumerate(check(list[dict], sections["augment"], place))]
    return Experiment(name=name, train=train, augment=augment, init_from=start, sections=sections, **checked)


def merge(default: Any, change: Any) -> Any:
    """Lay `change` over `default` key by key; another `name` replaces the section whole, a list replaces a list.

    `iterations` and `epochs` are two units of the same length: giving one replaces the other.
    """
    if not isinstance(default, Mapping) or not isinstance(change, Mapping):
        return change
    if "name" in change and change["name"] != default.get("name"):
        return dict(change)
    merged = {**default, **{key: merge(default.get(key), value) for key, value in change.items()}}
    for given, other in (("epochs", "iterations"), ("iterations", "epochs")):
        if given in change and other not in change:
            merged.pop(other, None)
    return merged


def _check_keys(section: Mapping, allowed: tuple[str, ...], where: str, required: list[str] | None = None) -> None:
    prefix = f"{where}: " if where else ""
    for key in section:
        if key not in allowed:
            raise UserError(f"{prefix}{unknown(key, allowed, 'key')}")
    for key in required or []:
        if key not in section:
            raise UserError(f"{prefix}missing key {key!r}")


def _origin(section: str, row: Mapping, where: str) -> str:
    """Where a merged section comes from, for messages: the experiment if it has lines of its own, else the defaults."""
    return f"{where}.{section}" if section in row else section
