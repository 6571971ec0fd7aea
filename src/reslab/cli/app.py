"""The `reslab` command, to which each file of this folder adds."""

import typer

HELP = (
    "A laboratory for residual networks.\n\n"
    "`reslab studies` lists what was published, `reslab show STUDY` explains one, `reslab select STUDY` puts it into params.yaml, "
    "and `dvc repro` trains it. Every command has --help."
)

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help=HELP)
