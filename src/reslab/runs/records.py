"""The files of a run: the record of its numbers (JSON) and its history (CSV, one row an epoch)."""

import csv
import json
import math
from pathlib import Path
from typing import Any

from reslab.errors import UserError
from reslab.storage import writes

METADATA_KEY = "reslab"  # of a safetensors file; one key only: several are written in random order, and equal runs give equal bytes


@writes
def write_record(path: Path, record: dict[str, Any]) -> None:
    """Write a record; a number that is not finite becomes null, for JSON has no other word for it."""
    path.write_text(json.dumps(_finite(record), indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_record(path: Path) -> dict[str, Any]:
    """Read a record; raises UserError for a missing or damaged file."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run `dvc repro`") from None
    except json.JSONDecodeError as error:
        raise UserError(f"{path}: damaged record ({error}); delete it and run `dvc repro`") from error


@writes
def write_history(path: Path, rows: list[dict[str, float]]) -> None:
    """Write rows with the same keys, every number as Python prints it: equal runs give equal bytes."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read_history(path: Path) -> list[dict[str, float]]:
    """Read what `write_history` wrote; every value is a number."""
    with path.open(newline="", encoding="utf-8") as file:
        return [{key: _number(value) for key, value in row.items()} for row in csv.DictReader(file)]


def _number(text: str) -> float:
    return int(text) if text.isdecimal() else float(text)
