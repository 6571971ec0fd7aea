"""What differs between the environments that the networks of one experiment were trained in."""

from collections.abc import Iterable, Mapping
from typing import Any

ENVIRONMENT = ("device", "threads", "precision", "torch")  # networks that differ in these are not timed together


def differing(records: Iterable[Mapping[str, Any]]) -> list[str]:
    """Which of device, threads, precision and torch's version differ among records; those that a record lacks are not compared."""
    kept = list(records)
    return [key for key in ENVIRONMENT if len({str(record[key]) for record in kept if key in record}) > 1]
