"""Arguments and options that several commands take, and how the shell completes them."""

import re
from pathlib import Path
from typing import Annotated

import typer

from reslab import config
from reslab.config import library
from reslab.cost import machines
from reslab.errors import UserError, shown

PREPARED = Path("data/prepared")
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
    """The network families; this one takes the seconds that torch takes to start."""
    from reslab.models import MODELS

    return [name for name in MODELS if name.startswith(incomplete)]


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
