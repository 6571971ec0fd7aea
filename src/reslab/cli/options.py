"""Arguments and options that several commands take, and how the shell completes them."""

import ast
import re
from pathlib import Path
from typing import Annotated

import typer

import reslab
from reslab import config, git
from reslab.config import library
from reslab.cost import machines
from reslab.cost.links import LINKS
from reslab.errors import UserError, shown

PREPARED, KEPT = Path("data/prepared"), Path("results")
SEEDS = re.compile(r"\d{1,18}(,\d{1,18})*")


def study_names(incomplete: str) -> list[tuple[str, str]]:
    """The ready-made studies with their titles."""
    return [(name, library.title(name)) for name in library.names() if name.startswith(incomplete)]


def experiment_names(incomplete: str) -> list[str]:
    """The experiments of params.yaml; none while it cannot be read."""
    try:
        return [name for name in config.load(Path("params.yaml")).experiments if name.startswith(incomplete)]
    except UserError:
        return []


def machine_names(incomplete: str) -> list[str]:
    """The machines whose speed is on file."""
    return [name for name in machines.names() if name.startswith(incomplete)]


def model_names(incomplete: str) -> list[str]:
    """The network families, as the source names them: importing it would take the seconds that torch takes to start."""
    source = Path(reslab.__path__[0], "models", "__init__.py").read_text(encoding="utf-8")
    (table,) = [node.value for node in ast.parse(source).body if isinstance(node, ast.Assign) and node.targets[0].id == "MODELS"]
    return [name for name in map(ast.literal_eval, table.keys) if name.startswith(incomplete)]


def kept_names(incomplete: str) -> list[str]:
    """The studies in results/."""
    return [path.parent.name for path in sorted(KEPT.glob("*/params.yaml")) if path.parent.name.startswith(incomplete)]


def side_names(incomplete: str) -> list[str]:
    """What `compare` can compare: experiments of DVC, branches, tags, kept results."""
    try:
        known = [*git.experiments(), *git.branches_and_tags()]
    except UserError:
        known = []
    known += ["workspace", "HEAD", *(f"{KEPT}/{name}" for name in kept_names(""))]
    return [name for name in dict.fromkeys(known) if name.startswith(incomplete)]


def row_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """The experiments of the study that is chosen; of several, separated by commas, the last is completed."""
    before, comma, last = incomplete.rpartition(",")
    study = ctx.params.get("study") or " ".join(ctx.args)  # what is before an option without its value is not parsed yet
    try:
        rows = library.lines_of(study).get("experiments", {})
    except UserError:
        return []
    return [f"{before}{comma}{name}" for name in rows if name.startswith(last)]


def link_names(incomplete: str) -> list[str]:
    """What may connect processes."""
    return [name for name in LINKS if name.startswith(incomplete)]


MachineName = Annotated[
    str | None,
    typer.Option(
        "--machine", help="A file in machines/; without it, the measurement of this machine.", autocompletion=machine_names
    ),
]


AtOnce = Annotated[
    int | None,
    typer.Option(min=1, help="Seeds trained at once.", show_default="RESLAB_WORKERS, or one a core, or one on a GPU"),
]


Params = Annotated[Path, typer.Option(help="The file of the study.")]


StudyName = Annotated[str, typer.Argument(help="A name that `reslab studies` lists.", autocompletion=study_names)]


def names_in(text: str) -> list[str]:
    """The words of an option, separated by commas or spaces."""
    return [word for word in text.replace(",", " ").split() if word]


def seed_list(text: str | None) -> list[int] | None:
    """The seeds of an option, such as 0,1,2; None without it. Raises UserError for anything else."""
    if text is None:
        return None
    if not SEEDS.fullmatch(text):
        raise UserError(f"seeds: {shown(text)} is not allowed: give whole numbers separated by commas, such as 0,1,2")
    return [int(seed) for seed in text.split(",")]
