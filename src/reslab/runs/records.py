"""The files of a run: the record of its numbers (JSON) and its history (CSV, one row an epoch).

A record carries a checksum of itself, and in `checksums` those of the files beside it, by name.
"""

import csv
import io
import json
import math
from pathlib import Path
from typing import Any, NoReturn

from reslab.errors import UserError, first_line
from reslab.runs import checksums
from reslab.runs.checksums import AGAIN
from reslab.storage import writes

METADATA_KEY = "reslab"  # of a safetensors file; one key only: several are written in random order, and equal runs give equal bytes
FORMAT, CHECKSUM = "file_format", "file_checksum"
LATEST = 2  # 1 had neither mark
LARGEST, DEEPEST = 2**63, 60  # whole numbers stay below; levels: a study's sections have 50 (config/yaml.py)
FIRST_KEYS = {"identity", "experiment", "config"}  # of format 1; a file of format 2 begins with its marks, even if they are damaged


@writes
def write_record(path: Path, record: dict[str, Any]) -> None:
    """Write a record with its checksum; a number that is not finite becomes null, for JSON has no other word for it."""
    content = {FORMAT: LATEST} | json.loads(json.dumps(_finite(record), allow_nan=False))
    marked = {FORMAT: LATEST, CHECKSUM: checksums.of_value(content)} | content
    path.write_bytes((json.dumps(marked, indent=1) + "\n").encode())


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_record(path: Path, *, mend: str = AGAIN, older: bool = False) -> dict[str, Any]:
    """Read what `write_record` wrote, without its marks; raises UserError for a missing, damaged or edited file.

    `older`: also one of format 1, which has no checksum; a line on stderr says so.
    """
    record = _read(path, mend)
    if is_unmarked(record):
        accept_older(path, record, mend=mend, older=older)
    return {key: value for key, value in record.items() if key not in (FORMAT, CHECKSUM)}


def is_marked(path: Path, *, mend: str = AGAIN) -> bool:
    """Whether a version wrote this record that gives checksums; raises UserError for a missing or damaged one."""
    return not is_unmarked(_read(path, mend))


def _read(path: Path, mend: str) -> dict[str, Any]:
    content = checksums.read_bytes(path, mend=mend)
    try:
        record = json.loads(content.decode(), parse_constant=_refuse)
        if not isinstance(record, dict):
            raise ValueError("no JSON object")
        _check_bounds(record, DEEPEST)
        if not is_unmarked(record):
            check_marks(record)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: damaged record ({first_line(error)}); {mend}") from None
    return record


def is_unmarked(record: dict[str, Any]) -> bool:
    """Whether a record has neither mark of the versions that give checksums."""
    return not {FORMAT, CHECKSUM} & record.keys()


def _check_bounds(value: Any, levels: int) -> None:
    """Raise ValueError for what no record holds, although JSON can say it: numbers beyond all others, endless nesting."""
    if isinstance(value, dict | list):
        if not levels:
            raise ValueError(f"more than {DEEPEST} levels")
        for item in value.values() if isinstance(value, dict) else value:
            _check_bounds(item, levels - 1)
    elif isinstance(value, int) and abs(value) >= LARGEST:
        raise ValueError(f"a whole number of {value.bit_length()} bits; they end at 2**63 - 1")
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError("a number that is not finite")


def check_marks(record: dict[str, Any]) -> None:
    """Raise ValueError unless the record has the checksum that it carries."""
    if record.get(FORMAT) != LATEST:
        raise ValueError(f"its {FORMAT} is not {LATEST}, the one that this version writes")
    if record.get(CHECKSUM) != checksums.of_value({key: value for key, value in record.items() if key != CHECKSUM}):
        raise ValueError("its checksum differs: it was changed after it was written")


def accept_older(path: Path, described: dict[str, Any], *, mend: str, older: bool) -> None:
    """Raise UserError for a file that should carry a checksum and does not; where `older` ones may be read, say so."""
    if not older or next(iter(described), None) not in FIRST_KEYS:
        raise UserError(f"{path}: carries no checksum: damaged, or written by an older version; {mend}")
    checksums.note_unverified(path.parent)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number of JSON")


@writes
def write_history(path: Path, rows: list[dict[str, float]]) -> str:
    """Write rows with the same keys, every number as Python prints it: equal runs give equal bytes. Returns the checksum."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return checksums.of_file(path)


def read_history(path: Path, checksum: str | None = None, *, mend: str = AGAIN) -> list[dict[str, float]]:
    """Read what `write_history` wrote; every value is a number. Raises UserError if it is damaged or has another `checksum`."""
    content = checksums.read_bytes(path, checksum, mend=mend)
    try:
        header, *lines = csv.reader(io.StringIO(content.decode(), newline=""), strict=True)
        rows = [dict(zip(header, map(_number, line), strict=True)) for line in lines]
    except (ValueError, csv.Error) as error:
        raise UserError(f"{path}: damaged history ({first_line(error)}); {mend}") from None
    if not rows:
        raise UserError(f"{path}: damaged history (no rows); {mend}")
    return rows


def _number(text: str) -> float:
    return int(text) if text.isdecimal() else float(text)
