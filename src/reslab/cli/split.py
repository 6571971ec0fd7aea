"""`reslab split`: DVC's stages of a large study in several files, for each stage that ends costs it a whole lock file."""

import copy
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from reslab import config, storage
from reslab.cli.app import UPKEEP, app
from reslab.cli.options import Params
from reslab.config.yaml import FAULTS, parse_of_dvc
from reslab.errors import UserError, first_line
from reslab.runs.checksums import read_text

PARTS, PIPELINE, LOCK = Path("parts"), "dvc.yaml", "dvc.lock"
MATRIX, WDIR = "matrix", "wdir"
NOTE = f"# Made by `reslab split`, from the stages that once were in {PIPELINE}: one file for some of the experiments.\n"


@app.command(rich_help_panel=UPKEEP)
def split(
    each: Annotated[int, typer.Option("--experiments", min=1, help="Experiments in each file.")] = 10,
    params: Params = Path("params.yaml"),
) -> None:
    """Give DVC several small files for a study of hundreds of experiments; again whenever experiments come or go."""
    names = list(config.load(params).experiments)
    form = YAML()
    form.width = 10**6  # commands stay on their lines
    pipeline = document(Path(PIPELINE), form)
    stages = per_experiment(pipeline["stages"], form)
    for name in stages:
        pipeline["stages"].pop(name, None)
    locked = dict(all_locked())
    parts = {PARTS / f"{first // each:03}": names[first : first + each] for first in range(0, len(names), each)}
    stale = sorted(earlier_parts() - set(parts))
    for folder, some in parts.items():
        write(folder / PIPELINE, form, {"stages": {name: of_part(stage, some) for name, stage in stages.items()}}, NOTE)
        wanted = {f"{stage}@{name}" for stage in stages for name in some}
        write_lock(folder / LOCK, {stage: found for stage, found in locked.items() if stage in wanted})
    write_lock(Path(LOCK), {stage: found for stage, found in locked.items() if stage.partition("@")[0] not in stages})
    write(Path(PIPELINE), form, pipeline)
    for folder in stale:
        for name in (PIPELINE, LOCK):
            (folder / name).unlink(missing_ok=True)
        folder.rmdir()
    print(
        f"{len(names)} experiments in {len(parts)} files of {PARTS}/: commit them with {PIPELINE} and {LOCK}; `dvc repro` as before"
    )


def per_experiment(stages: dict[str, Any], form: YAML) -> dict[str, Any]:
    """The stages that run once an experiment: of dvc.yaml, or where they were put before; raises UserError if there are none."""
    if found := {name: stage for name, stage in stages.items() if MATRIX in stage}:
        return found
    for path in sorted(PARTS.glob(f"*/{PIPELINE}")):
        return document(path, form)["stages"]
    raise UserError(f"{PIPELINE}: no stage runs once an experiment; `git checkout {PIPELINE}` brings them back")


def document(path: Path, form: YAML | None = None) -> Any:
    """What a file of DVC holds, with its comments if a `form` is given; raises UserError for one that has no stages in it."""
    if not path.exists():
        raise UserError(f"{path}: no such file; run from the repository root")
    mend = f"`git checkout {path}` brings back the last one"
    text = read_text(path, mend=mend)
    try:
        found = parse_of_dvc(text)
        if not all(isinstance(stage, dict) for stage in found["stages"].values()):
            raise TypeError("a stage that is no mapping")
        return found if form is None else form.load(text)  # which has no bounds, so that it only gets what was read within them
    except (YAMLError, *FAULTS) as error:
        raise UserError(f"{path}: not what DVC reads ({first_line(error)}); {mend}") from None


def earlier_parts() -> set[Path]:
    """The folders that were made before; raises UserError for anything else in their place: it is not ours to write or delete."""
    if PARTS.is_symlink() or (PARTS.exists() and not PARTS.is_dir()):
        raise UserError(f"{PARTS}: is a link or a file; remove it, `reslab split` makes this folder itself")
    found = set(PARTS.iterdir()) if PARTS.exists() else set()
    for folder in found:
        is_ours = folder.name.isdecimal() and folder.is_dir() and not folder.is_symlink()
        for path in folder.iterdir() if is_ours else [folder]:
            if path.name not in (PIPELINE, LOCK):
                raise UserError(f"{path}: not made by `reslab split`; move it out of {PARTS}/")
    return found


def of_part(stage: Any, names: list[str]) -> dict[str, Any]:
    """A stage for some of the experiments, run at the root of the project."""
    made = copy.deepcopy(stage)
    made[MATRIX] = {"experiment": list(names)}  # one for each stage: YAML would write an alias
    made[WDIR] = "../.."
    return made


def all_locked() -> Iterator[tuple[str, Any]]:
    """What DVC's lock files know, stage by stage."""
    for path in (*sorted(PARTS.glob(f"*/{LOCK}")), Path(LOCK)):
        if path.exists():
            yield from document(path)["stages"].items()


def write(path: Path, form: YAML, content: Any, note: str = "") -> None:
    """Write a YAML file in one step."""
    text = io.StringIO(note)
    text.seek(0, io.SEEK_END)
    form.dump(content, text)
    path.parent.mkdir(parents=True, exist_ok=True)
    storage.replace_text(path, text.getvalue())


def write_lock(path: Path, stages: dict[str, Any]) -> None:
    """Write a lock file as DVC does; none where DVC knows nothing yet."""
    if not stages:
        path.unlink(missing_ok=True)
        return
    form = YAML(typ="safe")
    form.default_flow_style = False
    write(path, form, {"schema": "2.0", "stages": stages})


def targets(stage: str) -> list[str]:
    """What to ask DVC for to have a stage done for all experiments."""
    return [f"{path}:{stage}" for path in sorted(PARTS.glob(f"*/{PIPELINE}"))] or [stage]
