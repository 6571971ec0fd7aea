"""Results side by side: folders, branches and experiments of DVC, each read as a study with its records."""

import contextlib
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from reslab import config, git
from reslab.config.settings import Settings, flatten
from reslab.config.study import Study
from reslab.config.yaml import read_yaml
from reslab.errors import UserError
from reslab.report.statistics.summary import runs_table
from reslab.runs.network_files import ENVIRONMENTS

WORKSPACE = "workspace"
PARAMS, METRICS = "params.yaml", "metrics"
NO_SETTINGS = ("study", "report")  # keys of params.yaml that change no result


@dataclass(frozen=True)
class Side:
    """One of the things compared: the study that it ran, its settings as written, one row a network."""

    name: str
    study: Study
    settings: Settings
    runs: pd.DataFrame


def read_sides(names: list[str]) -> list[Side]:
    """Each name read, the first is what the others are compared with.

    Without names: the workspace, and the experiments of DVC that began at the current commit. Raises UserError.
    """
    if not names:
        names = [WORKSPACE, *git.experiments(baseline=git.find("HEAD"))]
        if len(names) == 1:
            raise UserError("DVC has no experiments of this commit: make some with `dvc exp run`, or name what to compare")
    if len(names) == 1:
        names = [WORKSPACE, *names]
    if repeated := [name for name in names if names.count(name) > 1]:
        raise UserError(f"{repeated[0]} is named twice")
    return [read_side(name) for name in names]


def read_side(name: str) -> Side:
    """The workspace, a folder (of `results/`, or a clone), or else what git knows by that name; raises UserError."""
    folder = Path("." if name == WORKSPACE else name)
    if folder.is_dir():
        kept = (folder / "runs").is_dir() and (folder / PARAMS).is_file()  # in results/ the records are beside params.yaml
        return _read(name, folder / PARAMS, folder / "runs" if kept else folder / METRICS / "runs")
    commit = git.find(name)
    with tempfile.TemporaryDirectory() as unpacked:
        try:
            git.unpack(commit, [PARAMS, f"{METRICS}/runs"], Path(unpacked))
            with contextlib.suppress(UserError):  # older commits have times in the records themselves
                git.unpack(commit, [f"{METRICS}/{ENVIRONMENTS}"], Path(unpacked))
            return _read(name, Path(unpacked) / PARAMS, Path(unpacked) / METRICS / "runs")
        except UserError as error:
            raise UserError(f"{name}: {str(error).replace(f'{unpacked}/', '')}") from None


def _read(name: str, params: Path, records: Path) -> Side:
    study = config.load(params)
    document = {key: value for key, value in read_yaml(params).items() if key not in NO_SETTINGS}
    return Side(name, study, flatten(document), runs_table(study, records, older=True))
