"""The checksums of the tables and the summary that aggregate made, and of the records that it made them from."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from reslab.errors import UserError, shown
from reslab.runs import checksums
from reslab.runs.records import read_record, write_record

NAME = "checksums.json"  # in the folder of the tables
AGAIN = "run `dvc repro -f aggregate`"


def write(tables: Path) -> None:
    """Write TABLES/checksums.json: of every table, of summary.json and of every record in the folder `runs` beside them."""
    made = [path for path in sorted(tables.iterdir()) if path.is_file() and path.name != NAME]
    made += tables.parent.glob("summary.json")
    found = {path.relative_to(tables.parent).as_posix(): checksums.of_file(path) for path in made}
    records = {path.name: checksums.of_file(path) for path in sorted((tables.parent / "runs").glob("*.json"))}
    write_record(tables / NAME, {"made": found, "records": records})


def check(tables: Path, *, mend: str = AGAIN) -> None:
    """Raise UserError if a table was changed, lost or added since it was made, or a record since it was read.

    Tables of a version that wrote no checksums are taken, and a line on stderr says so.
    """
    if not tables.is_dir() or (listed := _read(tables, mend)) is None:
        return
    for name, checksum in listed["records"].items():
        path = tables.parent / "runs" / name
        if path.is_file() and checksums.of_file(path) != checksum:  # one that is gone may be of an experiment that was dropped
            raise UserError(f"{path}: not the record that {tables} were made from; {mend}")
    for name in listed["made"]:
        _verify(tables.parent / name, listed["made"][name], mend)
    if added := sorted(path.name for path in tables.glob("*.csv") if f"{tables.name}/{path.name}" not in listed["made"]):
        raise UserError(f"{tables}: {shown(added[0])} is no table that aggregate made; delete it, or {mend}")


def check_those(tables: Path, names: Iterable[str], *, mend: str) -> None:
    """Raise UserError if one of the tables of these names, as far as there ever were any, is not as aggregate made it."""
    if not tables.is_dir() or (listed := _read(tables, mend)) is None:
        return
    for name in names:
        checksum = listed["made"].get(f"{tables.name}/{name}")
        if checksum is not None or (tables / name).exists():
            _verify(tables / name, checksum, mend)


def _read(tables: Path, mend: str) -> dict[str, Any] | None:
    if not (tables / NAME).exists():
        checksums.note_unverified(tables)
        return None
    listed = read_record(tables / NAME, mend=mend)
    if not all(isinstance(listed.get(key), dict) for key in ("made", "records")):
        raise UserError(f"{tables / NAME}: damaged (no checksums); {mend}")
    return listed


def _verify(table: Path, checksum: object, mend: str) -> None:
    if not table.is_file():
        raise UserError(f"{table}: lost since aggregate made it; {mend}")
    if checksums.of_file(table) != checksum:
        raise UserError(f"{table}: changed since aggregate made it; {mend}")
