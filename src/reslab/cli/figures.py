"""`reslab figures`: a study's figures for a paper."""

from pathlib import Path
from typing import Annotated

import typer

from reslab import config
from reslab.cli.app import USE, app
from reslab.errors import UserError, check_folder


@app.command(rich_help_panel=USE)
def figures(
    study: Annotated[
        Path | None, typer.Argument(help="A folder of results/.", show_default="the study of params.yaml, in metrics/")
    ] = None,
    output: Annotated[Path, typer.Option(help="The folder for the files.")] = Path("figures"),
) -> None:
    """Draw a study's figures as PDF, as wide as the columns of a paper; tables/results.tex is its main table."""
    from reslab.report import paper

    params, metrics = (Path("params.yaml"), Path("metrics")) if study is None else (study / "params.yaml", study)
    check_folder(output)
    if study is not None and not params.exists():
        raise UserError(f"{params}: no such file; give a folder of results/")
    written, left_out = paper.write(config.load(params), metrics, Path("data/predictions"), output)
    for path in written:
        print(path)
    for reason in left_out:
        print(f"left out {reason}")
