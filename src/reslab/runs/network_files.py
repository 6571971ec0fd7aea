"""What train leaves of a network: weights, history, and a record that holds the checksums of both."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from reslab.errors import UserError, shown
from reslab.runs import sealed
from reslab.runs.checksums import AGAIN
from reslab.runs.records import read_history, read_record, write_record

ENVIRONMENTS = "environments"  # the folder beside that of the records, and their key in a record that leaves them to it
MACHINE = (  # what another machine changes in a run although it computes the same
    "seconds", "images_per_second", "started", "resumed", "device", "threads", "torch", "cuda", "python", "numerics", "engine",
    "at_once", "commit", "dirty",
)  # fmt: skip
OF_NETWORK = WEIGHTS, HISTORY, RECORD = "model.safetensors", "history.csv", "record.json"
NEEDED = {"identity": str, "seed": int, "status": str, "config": dict}  # of a record, by whoever reads one
HALF = re.compile("[\ud800-\udfff]")  # what UTF-8 cannot write
STATUSES, KILLED = ("finished", "diverged"), "killed"  # the last of one that was told to stop, and may go on
KINDS: dict[str, Any] = {  # of what readers take from a record, where it is there: the checksum of an edited one may be right
    **dict.fromkeys(("identity", "status", "dataset_checksum", "precision", "layout", "device", "torch", "commit"), str),
    **dict.fromkeys(("config", "dataset", "checksums"), dict),
    **dict.fromkeys(("epoch", "steps", "parameters", "multiply_adds", "test_images", "threads", "tau", "seconds"), int | float),
    **dict.fromkeys(
        ("train_loss", "test_loss", "test_ece", "test_ece_debiased", "test_ece_perfect", "test_commonest"), int | float
    ),
    **dict.fromkeys(("train_error", "test_error", "test_top5_error", "validation_error", "images_per_second"), int | float),
}


def read(
    folder: Path, *, mend: str = AGAIN, older: bool = False, stopped: bool = False
) -> tuple[dict[str, Any], list[dict[str, float]]]:
    """The record and the history of a network, verified; raises UserError if one is missing or damaged.

    `older`: also those of a version that wrote no checksums. `stopped`: also those of a network that was told to stop.
    """
    record = read_record(folder / RECORD, mend=mend, older=older)
    for key, kind in NEEDED.items():
        if not isinstance(record.get(key), kind):
            raise UserError(f"{folder / RECORD}: damaged record ({key} is missing or no {kind.__name__}); {mend}")
    check_values(record, folder / RECORD, mend=mend, statuses=(*STATUSES, KILLED) if stopped else STATUSES)
    return record, read_history(folder / HISTORY, checksum_of(record, HISTORY), mend=mend)


def check_values(run: dict[str, Any], path: Path, *, mend: str, statuses: Sequence[str] = STATUSES) -> None:
    """Raise UserError if the record of a network holds what no version wrote: a number as text, an error beyond 100 %."""
    for key, value in run.items():
        if not _can_be(key, value):
            raise UserError(f"{path}: damaged record ({key} is {shown(value)}); {mend}")
        if value is not None and key.endswith("_error") and not 0 <= value <= 1:
            raise UserError(f"{path}: damaged record ({key} is {shown(value)}, not from 0 to 1); {mend}")
    if run["status"] not in statuses:
        raise UserError(f"{path}: damaged record (status is {shown(run['status'])}, none of {', '.join(statuses)}); {mend}")


def _can_be(key: str, value: Any) -> bool:
    """Whether a version may have written this: of words only the commit may be missing, and none is half a character."""
    if isinstance(value, str) and HALF.search(value):
        return False
    if key not in KINDS:
        return True
    if value is None:
        return KINDS[key] is not str or key == "commit"
    return isinstance(value, KINDS[key]) and not isinstance(value, bool)


def write_experiment(path: Path, experiment: str, runs: Sequence[dict[str, Any]], *, checksums: dict[str, str]) -> None:
    """Write the record of an experiment in two files: what machines share, and in a folder beside it times and environments.

    So equal networks give the same bytes in `path`, and a diff of two machines shows where their numbers differ.
    """
    told = [{"seed": run["seed"]} | {key: run[key] for key in MACHINE if key in run} for run in runs]
    shared = [{key: value for key, value in run.items() if key not in MACHINE} for run in runs]
    beside = _beside(path)
    for file in (path, beside):
        file.parent.mkdir(parents=True, exist_ok=True)
    write_record(beside, {"experiment": experiment, "runs": told})
    write_record(path, {"experiment": experiment, "checksums": checksums, "times_in": ENVIRONMENTS, "runs": shared})


def _beside(path: Path) -> Path:
    return path.parent.parent / ENVIRONMENTS / path.name


def experiment_record(path: Path, *, older: bool = False) -> dict[str, Any]:
    """The record of an experiment, one run a seed, as evaluate wrote it, with times and environments.

    Raises UserError if it is damaged or another's. `older`: also that of a version that wrote no checksums.
    """
    record = _runs(path, older=older)
    if "times_in" in record:
        told = {run["seed"]: run for run in _runs(_beside(path), older=older)["runs"]}
        if told.keys() != {run["seed"] for run in record["runs"]}:
            raise UserError(f"{_beside(path)}: is not of the seeds in {path}; {AGAIN}")
        record["runs"] = [run | told[run["seed"]] for run in record["runs"]]
    elif _beside(path).exists():
        raise UserError(f"{path}: damaged record (no times_in, although {_beside(path)} is there); {AGAIN}")
    for run in record["runs"]:
        _check_run(run, path)
    return record


def _check_run(run: dict[str, Any], path: Path) -> None:
    """Raise UserError unless statistics and comparisons find what they need."""
    for key in ("status", "config", "test_error"):
        if run.get(key) is None:
            raise UserError(f"{path}: damaged record (no {key}); {AGAIN}")
    check_values(run, path, mend=AGAIN)
    dataset = run.get("dataset")  # older ones tell of none
    if not isinstance(run["config"].get("model"), dict) or (dataset is not None and not {"name", "validation"} <= dataset.keys()):
        raise UserError(f"{path}: damaged record (config or dataset is not whole); {AGAIN}")


def _runs(path: Path, *, older: bool) -> dict[str, Any]:
    record = read_record(path, older=older)
    if record.get("experiment") != path.stem:
        raise UserError(f"{path}: is the record of {shown(record.get('experiment'))}; {AGAIN}")
    runs = record.get("runs")
    if not isinstance(runs, list) or not all(isinstance(run, dict) and isinstance(run.get("seed"), int) for run in runs):
        raise UserError(f"{path}: damaged record (runs is no list of records with a seed); {AGAIN}")
    return record


def checksum_of(record: dict[str, Any], name: str) -> str | None:
    """The checksum that a record holds of a file; None in the record of a version that wrote none.

    One that holds those of other files gets an empty one, which no file has.
    """
    listed = record.get("checksums")
    return listed.get(name, "") if isinstance(listed, dict) else None


def check_weights(weights: Path, found: sealed.Sealed, *, mend: str = AGAIN, older: bool = False) -> None:
    """Raise UserError if weights are not those of the record beside them; imported ones have none."""
    if not (weights.parent / RECORD).exists() or weights.name != WEIGHTS:
        return
    expected = checksum_of(read_record(weights.parent / RECORD, mend=mend, older=older), WEIGHTS)
    if expected is not None and found.checksum != expected:
        raise UserError(f"{weights}: not the weights that {RECORD} beside it tells of (another checksum); {mend}")


def check_finished(folder: Path, *, identity: str, seed: int) -> None:
    """Verify the files of a finished network before they are used; raises UserError saying how to train it again."""
    mend = f"delete {folder} and run the same command to train seed {seed} again"
    record, _ = read(folder, mend=mend)
    check_weights(folder / WEIGHTS, sealed.read(folder / WEIGHTS, failed="cannot take the weights", mend=mend), mend=mend)
    if (record["identity"], record["seed"]) != (identity, seed):
        raise UserError(f"{folder}: holds seed {record['seed']} of {shown(record['identity'])}, another network; {mend}")
