"""The command that shows where the time of a training step goes."""

import os
from pathlib import Path
from typing import Annotated

import typer

from reslab import config
from reslab.cli.app import UPKEEP, app
from reslab.cli.options import PREPARED, Params, experiment_names
from reslab.cli.text import print_rows
from reslab.errors import UserError, check_output, located
from reslab.report.tables.cells import number


@app.command(rich_help_panel=UPKEEP)
def profile(
    experiment: Annotated[str, typer.Argument(help="One of params.yaml's experiments.", autocompletion=experiment_names)],
    steps: Annotated[int, typer.Option(min=1, max=1000, help="Training steps to profile, after two to warm up.")] = 10,
    rows: Annotated[int, typer.Option(min=1, help="Operations to print.")] = 15,
    output: Annotated[Path, typer.Option(help="The trace to write, for chrome://tracing or ui.perfetto.dev.")] = Path(
        "profile.json"
    ),
    params: Params = Path("params.yaml"),
    data: Annotated[Path, typer.Option(help="The prepared dataset.")] = PREPARED,
) -> None:
    """Profile training steps of an experiment with torch's profiler: a table of operations and a trace."""
    check_output(output)
    if output.suffix != ".json":
        raise UserError(f"{output}: unknown format; give a .json, which is what viewers of traces read")
    study = config.load(params)
    with located(params):
        chosen = study.experiment(experiment)
    os.environ.setdefault("KINETO_LOG_LEVEL", "6")  # its steps, and a missing GPU, are no news
    from reslab.cost.profile import profiled
    from reslab.data import prepared
    from reslab.experiment.bound import bound
    from reslab.training.execution import hardware

    loaded, device = prepared.load(data), hardware.choose_device()
    hardware.prepare(device, precision=chosen.train.precision, fast=chosen.train.fast)
    with located(params):
        found = profiled(bound(chosen), loaded, device, steps=steps, trace=output)
    on_gpu = device.type == "cuda"
    whole = sum(one.device if on_gpu else one.host for one in found)
    table = [
        {
            "operation": one.name,
            "calls a step": number(one.calls / steps, "{:,.1f}"),
            "ms a step": number(1000 * (one.device if on_gpu else one.host) / steps, "{:.3f}"),
            "share %": number(100 * (one.device if on_gpu else one.host) / whole, "{:.1f}"),
        }
        for one in found[:rows]
    ]
    print_rows(table, csv=False)
    time = f"{1000 * whole / steps:.2f} ms a step on the {'GPU' if on_gpu else 'CPU'}"
    print(f"\n{len(found)} kinds of operations, {time}, over {steps} steps; each is counted without what it calls.")
    print(f"{output}: the trace")
