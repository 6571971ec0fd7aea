"""Results side by side: folders, branches and experiments of DVC, each read as a study with its records.

The records say what was trained, and dvc.lock with which options the dataset was prepared; params.yaml says only of which
experiments and seeds: it may have been edited since.
"""

import contextlib
import hashlib
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from reslab import config, git
from reslab.config.settings import Settings, flatten
from reslab.config.start import as_written
from reslab.config.study import Study
from reslab.config.yaml import parse_of_dvc
from reslab.errors import UserError, first_line
from reslab.report.statistics.summary import runs_table
from reslab.runs.checksums import read_bytes, read_text
from reslab.runs.network_files import ENVIRONMENTS

WORKSPACE, HEAD = "workspace", "HEAD"  # as DVC calls them
IN_RECORDS = ("name", "validation")  # of a dataset
MOST_NAMES = 6  # in an error
PARAMS, METRICS, LOCK, IMAGES = "params.yaml", "metrics", "dvc.lock", "data/prepared"


@dataclass(frozen=True)
class Side:
    """One of the things compared: its study, one row a network, and by experiment the settings that its records tell of."""

    name: str
    study: Study
    runs: pd.DataFrame
    prepared: dict[str, dict]  # experiment -> the dataset that its images were prepared with, where DVC tells

    @property
    def settings(self) -> dict[str, Settings]:
        """Experiment -> what its networks were trained with and on, and with which seeds, as params.yaml writes it."""
        return {name: flatten(self._of(rows.iloc[0]) | {"seeds": list(rows["seed"])}) for name, rows in self._experiments()}

    @property
    def datasets(self) -> set[str]:
        """The checksums of the datasets of its networks; name and held-out images, where a record is too old to have one."""
        if "dataset_checksum" in self.runs:
            return set(self.runs["dataset_checksum"].astype(str))
        return {str([self._of(row)["dataset"][key] for key in IN_RECORDS]) for _, row in self.runs.iterrows()}

    @property
    def edited(self) -> list[str]:
        """The experiments whose sections or dataset in params.yaml are not those of their records."""
        trained = {name: self._of(rows.iloc[0]) for name, rows in self._experiments()}
        written = {"dataset": self._dataset}
        return [name for name, one in self.study.experiments.items() if written | as_written(one.sections) != trained[name]]

    @property
    def _dataset(self) -> dict:
        """The dataset as params.yaml has it."""
        return self.study.dataset | {"validation": self.study.validation}

    @property
    def networks(self) -> set[tuple]:
        """What tells its networks from others'; a diverged one has no error."""
        return set(self.runs[["experiment", "seed", "identity", "test_error"]].fillna(-1.0).itertuples(index=False, name=None))

    def _experiments(self) -> Iterable[tuple[str, pd.DataFrame]]:
        return self.runs.groupby("experiment", sort=False)

    def _of(self, row: pd.Series) -> dict:
        recorded, written = row.get("dataset"), self.prepared.get(row["experiment"], self._dataset)
        dataset = {key: (recorded if isinstance(recorded, dict) else written)[key] for key in IN_RECORDS}  # older have none
        if all(written[key] == value for key, value in dataset.items()):
            dataset = written  # with the options that no record has
        return {"dataset": dataset, **as_written(row["config"])}


def read_sides(names: list[str]) -> list[Side]:
    """Each name read, the first is what the others are compared with.

    Without names: the current commit, the workspace if its networks are others, and the experiments of DVC that began at this
    commit. Raises UserError.
    """
    if not names:
        return _begun_here(git.find(HEAD))
    if len(names) == 1:
        names = [WORKSPACE, *names]
    if repeated := [name for name in names if names.count(name) > 1]:
        raise UserError(f"{repeated[0]} is named twice")
    return [read_side(name) for name in names]


def _begun_here(commit: str) -> list[Side]:
    """A commit and the experiments of DVC that began at it; after `dvc exp run` the workspace is one of them, and listed once."""
    begun = [read_commit(name, other) for name, other in git.experiments(baseline=commit).items()]
    if not begun:
        raise UserError(
            f"DVC has no experiments of this commit{_elsewhere()}: make some with `dvc exp run`, or name what to compare"
        )
    workspace = read_side(WORKSPACE)
    if not git.has(commit, f"{METRICS}/runs"):  # results need not be committed
        return [workspace, *begun]
    begun.insert(0, read_commit(HEAD, commit))
    return begun if workspace.networks in [side.networks for side in begun] else [begun[0], workspace, *begun[1:]]


def _elsewhere() -> str:
    """The experiments that `git commit` has left behind, in brackets."""
    names = list(git.experiments())
    more = " and more" if len(names) > MOST_NAMES else ""
    return f" ({', '.join(names[:MOST_NAMES])}{more} began at others)" if names else ""


def read_side(name: str) -> Side:
    """The workspace, a folder (of `results/`, or a clone), or else what git knows by that name; raises UserError."""
    folder = Path("." if name == WORKSPACE else name)
    if not folder.is_dir():
        return read_commit(name, git.find(name))
    if not (folder / PARAMS).is_file():  # an experiment may have the name of a folder, such as `layers`
        with contextlib.suppress(git.NoCommit):
            return read_commit(name, git.find(name))
        raise UserError(f"{folder / PARAMS}: no such file; {name} is no folder with results, as in results/, nor a clone")
    kept = (folder / "runs").is_dir() and (folder / PARAMS).is_file()  # in results/ the records are beside params.yaml
    return _read(name, folder, folder / "runs" if kept else folder / METRICS / "runs")


def read_commit(name: str, commit: str) -> Side:
    """A commit, shown by a name; raises UserError."""
    with tempfile.TemporaryDirectory() as unpacked:
        try:
            git.unpack(commit, [PARAMS, f"{METRICS}/runs"], Path(unpacked))
            for path in (f"{METRICS}/{ENVIRONMENTS}", LOCK):  # older commits have times in the records themselves
                with contextlib.suppress(UserError):
                    git.unpack(commit, [path], Path(unpacked))
            return _read(name, Path(unpacked), Path(unpacked) / METRICS / "runs")
        except UserError as error:
            raise UserError(f"{name}: {str(error).replace(f'{unpacked}/', '')}") from None


def _read(name: str, folder: Path, records: Path) -> Side:
    study = config.load(folder / PARAMS)
    return Side(name, study, runs_table(study, records, older=True), _prepared(study, folder / LOCK, records))


def _prepared(study: Study, lock: Path, records: Path) -> dict[str, dict]:
    """Experiment -> the dataset as params.yaml had it when DVC prepared the images of its record.

    Without those of which the lock file does not tell: their record is another, or the images were prepared anew since.
    Raises UserError.
    """
    if not lock.exists():
        return {}
    mend = f"`git checkout {LOCK}` brings back the last one"
    text = read_text(lock, mend=mend)
    try:
        stages = parse_of_dvc(text)["stages"]
        return {
            name: {"validation": 0} | stages["preprocess"]["params"][PARAMS]["dataset"]
            for name in study.experiments
            if (stage := stages.get(f"evaluate@{name}"))
            if _checksums(stage["deps"])[IMAGES] == _checksums(stages["preprocess"]["outs"])[IMAGES]
            if _checksums(stage["outs"])[f"{METRICS}/runs/{name}.json"] == _md5(records / f"{name}.json")
        }
    except (UserError, LookupError, TypeError, AttributeError) as error:
        raise UserError(f"{lock}: not what DVC writes ({first_line(error)}); {mend}") from None


def _checksums(listed: list[dict]) -> dict[str, str]:
    return {one["path"]: one["md5"] for one in listed}


def _md5(path: Path) -> str:
    return hashlib.md5(read_bytes(path), usedforsecurity=False).hexdigest()
