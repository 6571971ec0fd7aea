"""`report.compare` of params.yaml: which experiments are compared with which."""

from collections.abc import Mapping
from typing import Annotated, Any

import pydantic
from pydantic import Field

from reslab.errors import UserError
from reslab.schema import STRICT, check, unknown

Pair = tuple[str, str]  # (experiment, what it is compared with)


class Compare(pydantic.BaseModel):
    """Either a baseline for all, or pairs."""

    model_config = STRICT

    baseline: str | None = None
    pairs: list[Annotated[list[str], Field(min_length=2, max_length=2)]] | None = None


def compared(section: Any, experiments: Mapping) -> list[Pair]:
    """The comparisons of a study: those written, else each experiment with the first one.

    Raises UserError for an unknown name, an experiment compared with itself, a pair given twice.
    """
    where, names = "report.compare", list(experiments)
    given = check(Compare, {"baseline": names[0]} if section is None else section, where)
    if (given.baseline is None) == (given.pairs is None):
        raise UserError(f"{where}: give exactly one of baseline, pairs (`pairs: []` compares nothing)")
    if given.pairs is None:
        _check_name(given.baseline, names, f"{where}.baseline")
        return [(name, given.baseline) for name in names if name != given.baseline]
    for position, pair in enumerate(given.pairs):
        place = f"{where}.pairs[{position}]"
        for name in pair:
            _check_name(name, names, place)
        if pair[0] == pair[1]:
            raise UserError(f"{place}: {pair[0]} against itself is not allowed")
        if sorted(pair) in map(sorted, given.pairs[:position]):
            raise UserError(f"{place}: {' and '.join(pair)} are compared twice")
    return [(first, second) for first, second in given.pairs]


def _check_name(name: str, names: list[str], where: str) -> None:
    if name not in names:
        raise UserError(f"{where}: {unknown(name, names)}")
