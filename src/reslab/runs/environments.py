"""What differs between the environments that the networks of one experiment were trained in."""

from collections.abc import Iterable, Mapping
from typing import Any

ENVIRONMENT = ("device", "threads", "precision", "numerics", "torch")  # networks that differ in these are not timed together
OLDER = {"numerics": "native"}  # of records that do not say: there was nothing else


def differing(records: Iterable[Mapping[str, Any]]) -> list[str]:
    """Which of ENVIRONMENT differ among records; what a record lacks is not compared."""
    kept = [OLDER | {key: record[key] for key in ENVIRONMENT if _said(record.get(key))} for record in records]
    return [key for key in ENVIRONMENT if len({str(record[key]) for record in kept if key in record}) > 1]


def _said(value: Any) -> bool:
    """Whether a record has a value; a row of a table has NaN where its record has none."""
    return value is not None and str(value) != "nan"
