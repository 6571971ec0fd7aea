"""`reslab release`: the networks of a study as one file for others."""

from pathlib import Path
from typing import Annotated

import typer

from reslab import config
from reslab.cli.app import WEIGHTS, app
from reslab.cli.options import Params


@app.command(rich_help_panel=WEIGHTS)
def release(
    output: Annotated[Path | None, typer.Option(help="The archive, a .zip.", show_default="STUDY-weights.zip")] = None,
    licence: Annotated[str, typer.Option(help="The licence of the weights, as SPDX names it.")] = "MIT",
    params: Params = Path("params.yaml"),
    runs: Annotated[Path, typer.Option(help="Where train put the networks.")] = Path("data/runs"),
    metrics: Annotated[Path, typer.Option(help="What the pipeline made.")] = Path("metrics"),
) -> None:
    """Write all networks of the study that trained into one archive, with a card each, for predict, score and import-weights."""
    from reslab.errors import UserError
    from reslab.report.trained_as import runs_of
    from reslab.weights import archive
    from reslab.weights.release import files

    study = config.load(params)
    target = output or Path(f"{study.name}-weights.zip")
    if target.suffix != archive.SUFFIX:
        raise UserError(f"{target}: give a name that ends in {archive.SUFFIX}")
    table = runs_of(study, metrics / "runs")
    found = files(study, table, runs, archive=target.name, licence=licence, params=params)
    archive.write(target, found)
    networks = [name.split("/")[0] for name in found if name.endswith(".safetensors")]
    print(f"{target}: {len(networks)} networks of {study.name}; use one as {target}/{networks[0]}")
