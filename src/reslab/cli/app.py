"""The `reslab` command, to which each file of this folder adds."""

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
    """Print the version and end, if it is wanted."""
    if wanted:
        from importlib.metadata import version

        print(f"reslab {version('reslab')}")
        raise typer.Exit


@app.callback(help=HELP)
def reslab(
    version: Annotated[
        bool, typer.Option("--version", callback=print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Only for its option."""
