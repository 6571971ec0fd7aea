"""Commands around `dvc repro`: check a study, train in parallel, show the page, delete old checkpoints."""

import os
import subprocess
import time
import webbrowser
from collections import deque
from pathlib import Path
from typing import Annotated

import typer

from reslab import config
from reslab.cli.app import UPKEEP, USE, app
from reslab.cli.options import PREPARED, Params
from reslab.cli.text import counted, milestones
from reslab.environment import cpu_count
from reslab.errors import UserError, located
from reslab.runs import folders
from reslab.runs.checksums import read_text
from reslab.stop import children

DVC_CONFIG = (Path(".dvc/config"), Path(".dvc/config.local"))
SECONDS_BETWEEN_LOOKS = 0.1  # at processes that may have ended
UNKNOWN_SIZE = (
    "the size of {} is unknown until it is fetched, so run `dvc repro preprocess` and check again for depths and other options"
)


@app.command(rich_help_panel=USE)
def check(params: Params = Path("params.yaml")) -> None:
    """Check params.yaml without running anything."""
    study = config.load(params)
    from reslab.data import datasets
    from reslab.data.sizes import source_name
    from reslab.experiment.check import check_study, facts_before

    datasets.bound(study.dataset, f"{params}: dataset")(Path("data/raw"))
    facts = facts_before(study, PREPARED)
    if facts is None:
        print(f"{params}: the syntax is valid; {UNKNOWN_SIZE.format(source_name(study.dataset))}")
        return
    with located(params):
        notes: dict[str, list[str]] = {}
        for name, experiment in check_study(study, facts).items():
            if late := experiment.unreached_milestones(experiment.budget(facts["train"])):
                notes.setdefault(f"the run ends before {milestones(study.experiments[name], late)}", []).append(name)
            for note in experiment.start_notes(facts):
                notes.setdefault(note, []).append(name)
    for note, names in notes.items():
        print(f"experiments.{names[0]}{f' and {len(names) - 1} more' if len(names) > 1 else ''}: {note}")
    known = (
        "" if "checksum" in facts else f" (checked with the known size of {source_name(study.dataset)}; the data is not there yet)"
    )
    print(f"{params} is valid: {counted(len(study.experiments), 'experiment')} x {counted(len(study.seeds), 'seed')}{known}")


@app.command(rich_help_panel=USE)
def parallel(jobs: Annotated[int, typer.Option("--jobs", "-j", help="Experiments at once.")] = 2) -> None:
    """Train several experiments at once, then run the rest of the pipeline (`dvc repro`)."""
    if jobs < 1:
        raise UserError(f"jobs {jobs} is not allowed: at least 1")
    check_dvc()
    children.run(["dvc", "repro", "check"])
    for stage in ("describe", "train"):
        listed = children.run(["dvc", "stage", "list", "--name-only", stage], capture_output=True, text=True)
        environment = os.environ | {
            "RESLAB_PROGRESS": "lines",
            "RESLAB_WORKERS": os.environ.get("RESLAB_WORKERS", str(max(1, cpu_count() // jobs))),
        }
        # Without --wait-for-lock about half of the concurrent `dvc repro` fail.
        at_once([["dvc", "--wait-for-lock", "repro", "-s", name] for name in listed.stdout.split()], jobs, environment)
    children.run(["dvc", "repro"])


def check_dvc() -> None:
    """Raise UserError for a configuration that DVC would wait for, or meet with a traceback."""
    for path in DVC_CONFIG:
        if os.path.lexists(path):
            read_text(path, mend=f"take it from git (`git checkout {path}`) or write it anew")


def at_once(commands: list[list[str]], most: int, environment: dict[str, str]) -> None:
    """Run commands, `most` at a time, all to their end; raises CalledProcessError if one failed. None outlives this process."""
    waiting, running, failed = deque(commands), [], None
    try:
        while waiting or running:
            while waiting and len(running) < most:
                command = waiting.popleft()
                running.append(children.start(command, env=environment))
            time.sleep(SECONDS_BETWEEN_LOOKS)
            ended = [process for process in running if process.poll() is not None]
            running = [process for process in running if process not in ended]
            failed = next((process for process in ended if process.returncode), failed)
    finally:
        for process in running:
            process.terminate()
    if failed is not None:
        raise subprocess.CalledProcessError(failed.returncode, failed.args)


@app.command(rich_help_panel=USE)
def report(
    path: Annotated[Path, typer.Option(help="The page, made by the pipeline's last stage.")] = Path("metrics/report.html"),
    show: Annotated[bool, typer.Option("--open", help="Show it in the browser ($BROWSER, or the system's).")] = False,
) -> None:
    """Print the address of the study's page: results, curves and records in one HTML file."""
    if not path.exists():
        raise UserError(f"{path}: no such file; `dvc repro` makes it")
    if not path.is_file():
        raise UserError(f"{path}: is a folder; give the page, such as {path / 'report.html'}")
    if show and not webbrowser.open(path.resolve().as_uri()):
        raise UserError(f"no browser to show {path} in; set BROWSER to one, or open it by hand")
    print(path.resolve().as_uri())


@app.command(rich_help_panel=UPKEEP)
def prune(
    days: Annotated[float, typer.Option(help="Keep what was used in this number of days.")] = 30,
    dry_run: Annotated[bool, typer.Option(help="Only list what would be deleted.")] = False,
) -> None:
    """Delete old checkpoints and finished networks from checkpoints/; DVC's cache keeps the results themselves."""
    pruned = folders.prune(keep_days=days, dry_run=dry_run)
    for folder in pruned:
        print(f"{'would delete' if dry_run else 'deleted'} {folder}")
    if not pruned:
        print(f"nothing to prune: every network in checkpoints/ is training or was used in the last {days:g} days")
