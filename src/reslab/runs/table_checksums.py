"""The checksums of the tables, plots and pages that a stage made, and of the records that it made them from."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from reslab.errors import UserError, shown
from reslab.runs import checksums
from reslab.runs.records import is_marked, read_record, write_record

NAME = "checksums.json"  # in the folder of the tables
AGAIN = "run `dvc repro -f aggregate`"
CURVES = "curves"  # for DVC's own plots: a kept study has none
GROWTH = "growth.csv"  # of the layer study
LAYERS_AGAIN = "run `dvc repro -f layers/dvc.yaml`"


def write(tables: Path, *others: str) -> None:
    """Write TABLES/checksums.json: of every table, of `others` beside the folder and of every record in the folder `runs` there."""
    places = [tables, *(tables.parent / name for name in others)]
    files = [file for place in places for file in (sorted(place.iterdir()) if place.is_dir() else [place])]
    made = [path for path in files if path.is_file() and path != tables / NAME]
    found = {path.relative_to(tables.parent).as_posix(): checksums.of_file(path) for path in made}
    records = {path.name: checksums.of_file(path) for path in sorted((tables.parent / "runs").glob("*.json"))}
    write_record(tables / NAME, {"made": found, "records": records})


def check(tables: Path, *, mend: str = AGAIN) -> None:
    """Raise UserError if a table or what is listed beside was changed, lost or added since, or a record since it was read.

    What a version left that wrote no checksums is taken, and a line on stderr says so.
    """
    if not tables.is_dir() or (listed := _read(tables, mend)) is None:
        return
    for name, checksum in listed["records"].items():
        path = tables.parent / "runs" / name
        if path.is_file() and checksums.of_file(path) != checksum:  # one that is gone may be of an experiment that was dropped
            raise UserError(f"{path}: not the record that {tables} were made from; {mend}")
    made = listed["made"]
    if not (tables.parent / CURVES).exists():
        made = {name: checksum for name, checksum in made.items() if not name.startswith(f"{CURVES}/")}
    for name in made:
        _verify(tables.parent / name, made[name], mend)
    _check_nothing_else(tables.parent, made, mend)


def _check_nothing_else(metrics: Path, made: Iterable[str], mend: str) -> None:
    for folder in sorted({metrics / Path(name).parent for name in made} - {metrics}):
        for path in sorted(folder.iterdir()):
            if path.name != NAME and path.relative_to(metrics).as_posix() not in made:
                raise UserError(f"{folder}: {shown(path.name)} was not made with the others; delete it, or {mend}")


def check_layers(layers: Path) -> None:
    """The same for the files of the layer study, if it was made."""
    if (layers / GROWTH).exists() or (layers / NAME).exists():
        check(layers, mend=LAYERS_AGAIN)


def check_those(tables: Path, names: Iterable[str], *, mend: str) -> None:
    """Raise UserError if one of these files, named from the folder above the tables, is not as it was made, if it ever was."""
    if not tables.is_dir() or (listed := _read(tables, mend)) is None:
        return
    known = {Path(name).parent for name in listed["made"]}
    for name in names:
        checksum = listed["made"].get(name)
        if checksum is not None or (Path(name).parent in known and (tables.parent / name).exists()):
            _verify(tables.parent / name, checksum, mend)


def _read(tables: Path, mend: str) -> dict[str, Any] | None:
    if not (tables / NAME).exists():
        if any(is_marked(path) for path in sorted((tables.parent / "runs").glob("*.json"))):
            raise UserError(f"{tables / NAME}: lost since the tables were made; {mend}")
        checksums.note_unverified(tables)
        return None
    listed = read_record(tables / NAME, mend=mend)
    if not all(isinstance(listed.get(key), dict) for key in ("made", "records")):
        raise UserError(f"{tables / NAME}: damaged (no checksums); {mend}")
    return listed


def _verify(made: Path, checksum: object, mend: str) -> None:
    if not made.is_file():
        raise UserError(f"{made}: lost since it was made; {mend}")
    if made.stat().st_size > checksums.MOST_BYTES or checksums.of_file(made) != checksum:
        raise UserError(f"{made}: changed since it was made; {mend}")
