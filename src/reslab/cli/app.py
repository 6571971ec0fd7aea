"""The `reslab` command, to which each file of this folder adds."""

from pathlib import Path
from typing import Annotated

import typer

from reslab.cli.commands import PANELS, Commands

HELP = (
    "A laboratory for residual networks.\n\n"
    "`reslab studies` lists what was published, `reslab show STUDY` explains one, `reslab select STUDY` puts it into params.yaml, "
    "and `dvc repro` trains it. Every command has --help."
)
USE, REFERENCE, WEIGHTS, UPKEEP = PANELS.values()

app = typer.Typer(cls=Commands, no_args_is_help=True, pretty_exceptions_enable=False, help=HELP)


def print_version(wanted: bool) -> None:
    """Print the version and end, if it is wanted: of a checkout also the commit, for what was installed may be older."""
    if wanted:
        print(f"reslab {_of_checkout(Path(__file__).parents[3]) or _installed()}")
        raise typer.Exit


def _of_checkout(folder: Path) -> str | None:
    if not (folder / ".git").exists():
        return None
    import tomllib

    from reslab import git

    version = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    commit = git.described(folder)
    return f"{version} ({commit})" if commit else version


def _installed() -> str:
    from importlib.metadata import version

    return version("reslab")


@app.callback(help=HELP)
def reslab(
    version: Annotated[
        bool, typer.Option("--version", callback=print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Only for its option."""
