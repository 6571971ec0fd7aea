"""Whether records are of the study as params.yaml has it: their checksums are right also after an edit, or in another's place."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from reslab.config.start import as_written
from reslab.config.study import Study
from reslab.errors import UserError
from reslab.report.statistics.summary import runs_table
from reslab.runs.checksums import AGAIN


def check_network(record: Mapping[str, Any], study: Study, experiment: str, path: Path, *, seed: int | None = None) -> None:
    """Raise UserError unless a record is of a network of this experiment as the study has it, and of this seed if one is given."""
    other = as_written(record["config"]) != as_written(study.experiment(experiment).sections)
    if isinstance(told := record.get("dataset"), Mapping):  # older ones tell of none
        other |= (told.get("name"), told.get("validation")) != (study.dataset["name"], study.validation)
    if other:
        raise UserError(f"{path}: was trained with other settings than params.yaml has for {experiment}; run `dvc repro`")
    if seed is not None and record["seed"] != seed:
        raise UserError(f"{path}: holds seed {record['seed']}; {AGAIN}")


def runs_of(study: Study, folder: Path, *, older: bool = False) -> pd.DataFrame:
    """The table of the study's networks from the records in a folder; raises UserError if these are of other settings."""
    runs = runs_table(study, folder, older=older)
    for run in runs.to_dict("records"):
        check_network(run, study, run["experiment"], folder / f"{run['experiment']}.json")
    return runs
