"""Our training loop beside the ways people train today, same network and recipe: `python benchmarks/engine.py --preset quick`.

`--plan` says what a preset measures. Results go to benchmarks/results/<preset>, where they are tracked; what was measured earlier
and is not measured again stays. docs/benchmarks.md explains how to read them.
"""

import shlex
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from contest import report
from contest.plan import Plan, from_experiment
from contest.presets import PRESETS
from contest.run import Session
from contest.workspace import Workspace
from loops import LOOPS
from loops.ours import LEVELS
from loops.peer import Peer, Script
from reslab import config
from reslab.config.schema import unknown
from reslab.errors import UserError, run
from reslab.training.execution import hardware

RESULTS = Path(__file__).parent / "results"


def main(  # noqa: PLR0913 - a command's options
    *,
    preset: Annotated[str, typer.Option(help=f"One of {', '.join(PRESETS)}.")] = "quick",
    only: Annotated[list[str] | None, typer.Option(help="Measure only this case, sweep or guard (repeatable).")] = None,
    levels: Annotated[str, typer.Option(help="Levels of our engine, by commas; the first is the reference.")] = "",
    loops: Annotated[str, typer.Option(help=f"Others to compare with, by commas, of {', '.join(list(LOOPS)[1:])}.")] = "",
    rounds: Annotated[int, typer.Option(min=0, help="Interleaved rounds; 0: the preset's.")] = 0,
    minutes: Annotated[float, typer.Option(min=0, help="Begin no part after so many; 0: no limit.")] = 0,
    experiment: Annotated[str, typer.Option(help="An experiment of --params in place of the preset's cases.")] = "",
    params: Annotated[Path, typer.Option(help="The study that holds it.")] = Path("params.yaml"),
    data: Annotated[Path | None, typer.Option(help="Images: prepared, CIFAR-10's files, or train/CLASS and test/CLASS.")] = None,
    output: Annotated[Path | None, typer.Option(help="Where results go.")] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Say what would be measured, and measure nothing.")] = False,
    peer: Annotated[Path | None, typer.Option(help="A training script of another project.")] = None,
    peer_args: Annotated[str, typer.Option(help="Its arguments; {folder} in them is a new folder for each run.")] = "",
    peer_epoch: Annotated[str, typer.Option(help="Regular expression for the end of an epoch; a group is its seconds.")] = "",
    peer_images: Annotated[int, typer.Option(min=1, help="Images it trains on in an epoch.")] = 50_000,
    peer_begin: Annotated[str, typer.Option(help="Regular expression for the begin of an epoch, if a test is before it.")] = "",
    peer_epochs: Annotated[int, typer.Option(min=0, help="End it after so many epochs; 0: it ends itself.")] = 0,
    peer_python: Annotated[str, typer.Option(help="The Python that has what it needs.")] = sys.executable,
) -> None:
    """Measure a preset's plan."""
    began = time.monotonic()
    options = {"begin": peer_begin, "epochs": peer_epochs, "python": peer_python}
    script = Script(peer, peer_args, peer_epoch, peer_images, **options) if peer else None
    chosen = _plan(preset, levels, loops, rounds).only(only or [])
    if experiment:
        chosen = replace(chosen, cases=(from_experiment(config.load(params).experiment(experiment), chosen.cases[0]),))
    if script:
        script.check()
    if plan:
        print(chosen.describe())
        return
    if chosen.device != hardware.choose_device().type:
        raise UserError(f"--preset {preset}: no GPU here; --preset cpu measures this machine, --plan says what is planned")
    folder = output or RESULTS / preset
    with tempfile.TemporaryDirectory() as temporary:
        session = Session(
            chosen,
            Workspace(Path(temporary), data),
            say=lambda text: print(f"[{time.monotonic() - began:6.1f} s] {text}", flush=True),
            save=lambda results: report.write(results, folder),
            peer=Peer(script) if script else None,
            until=began + 60 * minutes if minutes else float("inf"),
        )
        results = session.run(report.load(folder) | {"command": shlex.join(["python", *sys.argv])})
    report.write(results, folder)
    print((folder / "report.md").read_text(encoding="utf-8"))


def _plan(preset: str, levels: str, loops: str, rounds: int) -> Plan:
    """The preset with what the command line says otherwise; raises UserError for names that are not there."""
    if preset not in PRESETS:
        raise UserError(f"--preset: {unknown(preset, PRESETS)}")
    chosen = PRESETS[preset](hardware.choose_device().type)
    wanted_levels, wanted_loops = (tuple(filter(None, text.split(","))) for text in (levels, loops))
    for option, names, allowed in (("--levels", wanted_levels, LEVELS), ("--loops", wanted_loops, list(LOOPS)[1:])):
        for name in names:
            if name not in allowed:
                raise UserError(f"{option}: {unknown(name, allowed)}")
    if wanted_loops:
        chosen = replace(chosen, cases=tuple(replace(case, loops=wanted_loops) for case in chosen.cases))
    return replace(chosen, levels=wanted_levels or chosen.levels, rounds=rounds or chosen.rounds)


if __name__ == "__main__":
    run(main)
