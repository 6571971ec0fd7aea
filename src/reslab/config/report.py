"""The section `report` of params.yaml: what only the reader of a study needs."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

import pydantic
from pydantic import Field

from reslab.config.schema import STRICT, Count, NonNegative, Positive, check, unknown
from reslab.errors import UserError

Pair = tuple[str, str]  # (experiment, what it is compared with)


Percent = Annotated[float, Field(ge=0, le=100)]
MARGIN = 0.3  # percentage points, where neither the study nor a published standard deviation says what counts as the same


class Pairs(list[Pair]):
    """The comparisons of a study; `paired`: the errors of the same seed belong together."""

    def __init__(self, pairs: Iterable[Pair] = (), *, paired: bool = False) -> None:
        super().__init__(pairs)
        self.paired = paired


class Published(pydantic.BaseModel):
    """A published error in percent, what number of the runs it is, its source, and the time that its training took."""

    model_config = STRICT

    error: Percent
    source: str
    minutes: Positive | None = None  # of one run
    device: str = ""  # that the minutes were measured on
    std: NonNegative | None = None
    runs: Count | None = None
    statistic: Literal["mean", "median", "best_run", "best_epoch"] = (
        "mean"  # of its runs; of the best ones nothing can be concluded
    )
    paper: Percent | None = None  # what the paper states, where `error` is somebody's reproduction of it
    paper_std: NonNegative | None = None
    no_verdict: str = ""  # why our runs are not to be judged by it


class Layers(pydantic.BaseModel):
    """The largest number of images that the layer study (layers/dvc.yaml) measures; further depths, at initialisation only."""

    model_config = STRICT

    images: Annotated[int, Field(ge=2)] = 64
    depths: list[Count] = []


class Report(pydantic.BaseModel):
    """What only the reader needs: what the study is about, the published numbers by experiment, what is compared with what."""

    model_config = STRICT

    title: str = ""
    question: str = ""  # that the study asks
    origin: str = ""  # the paper or repository, and its table
    differences: list[str] = []  # known ones, of our runs from the published
    notes: list[str] = []
    device: str = ""  # that the published minutes were measured on
    source: str = ""  # of the published numbers that give none of their own
    no_verdict: str = ""  # of the published numbers that give no reason of their own
    margin: Annotated[float, Field(gt=0, le=100)] | None = None  # percentage points: a smaller difference counts as the same
    published: dict[str, Any] = Field(default_factory=dict)  # experiment -> Published
    layers: Any = Field(default_factory=dict)  # Layers
    compare: Any = None  # -> Pairs


class Compare(pydantic.BaseModel):
    """Either a baseline for all, or pairs; and whether seeds are paired."""

    model_config = STRICT

    baseline: str | None = None
    pairs: list[Annotated[list[str], Field(min_length=2, max_length=2)]] | None = None
    paired: bool = False


def checked(section: Any, experiments: Mapping) -> Report:
    """The section with its published numbers, layers and comparisons checked against the experiments; raises UserError."""
    report = check(Report, section, "report")
    published = {}
    for key, value in report.published.items():
        if key not in experiments:
            raise UserError(f"report.published: {unknown(key, experiments)}")
        if isinstance(value, Mapping):
            value = {key: text for key in ("source", "device", "no_verdict") if (text := getattr(report, key))} | dict(value)
        published[key] = check(Published, value, f"report.published.{key}")
        if published[key].paper is None and published[key].paper_std is not None:
            raise UserError(f"report.published.{key}: paper_std needs paper, the error that it is the spread of")
    layers = check(Layers, report.layers, "report.layers")  # checked alone, so that a message names its keys, not the report's
    compare = compared(report.compare, experiments)
    return report.model_copy(update={"published": published, "compare": compare, "layers": layers})


def compared(section: Any, experiments: Mapping) -> Pairs:
    """The comparisons of a study: those written, else each experiment with the first one.

    Raises UserError for an unknown name, an experiment compared with itself, a pair given twice.
    """
    where, names = "report.compare", list(experiments)
    given = check(Compare, {"baseline": names[0]} if section is None else section, where)
    if isinstance(section, Mapping) and set(section) == {"paired"}:
        given = given.model_copy(update={"baseline": names[0]})
    if (given.baseline is None) == (given.pairs is None):
        raise UserError(f"{where}: give exactly one of baseline, pairs (`pairs: []` compares nothing)")
    if given.pairs is None:
        _check_name(given.baseline, names, f"{where}.baseline")
        return Pairs([(name, given.baseline) for name in names if name != given.baseline], paired=given.paired)
    for position, pair in enumerate(given.pairs):
        place = f"{where}.pairs[{position}]"
        for name in pair:
            _check_name(name, names, place)
        if pair[0] == pair[1]:
            raise UserError(f"{place}: {pair[0]} against itself is not allowed")
        if sorted(pair) in map(sorted, given.pairs[:position]):
            raise UserError(f"{place}: {' and '.join(pair)} are compared twice")
    return Pairs([(first, second) for first, second in given.pairs], paired=given.paired)


def _check_name(name: str, names: list[str], where: str) -> None:
    if name not in names:
        raise UserError(f"{where}: {unknown(name, names)}")
