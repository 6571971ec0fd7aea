"""The `reslab` command, to which each file of this folder adds."""

import typer

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help="A laboratory for residual networks.")
