"""Commands about ready-made studies: list them, show one, choose one or a part of it."""

from itertools import groupby
from pathlib import Path
from typing import Annotated, Any

import typer

from reslab import config
from reslab.cli.app import USE, app
from reslab.cli.cost import find_machine, study_costs, this_hardware
from reslab.cli.options import AtOnce, MachineName, Params, StudyName, names_in, row_names, seed_list
from reslab.cli.text import counted, duration, parse_duration, print_paragraph, print_rows, readable
from reslab.config import library, overview
from reslab.config.report import Published
from reslab.config.settings import flow
from reslab.config.study import Study
from reslab.cost.machines import Machine, likely, read
from reslab.errors import UserError
from reslab.report.tables.cells import EMPTY, Cell, number, numbers, terminal, words


@app.command("studies", rich_help_panel=USE)
def list_studies(
    part: Annotated[str, typer.Argument(help="List only studies whose names contain this, such as `hysts` or `lars`.")] = "",
) -> None:
    """List the ready-made studies, one block for each system that published numbers (the first word of the name)."""
    found = [name for name in library.present() if part in name]
    if not found:
        systems = sorted({library.system(name) for name in library.names()})
        raise UserError(f"no study has {part!r} in its name; systems: {', '.join(systems)}")
    known = overview.of(found)
    columns = {
        "study": words(found),
        "experiments": numbers(known[name].experiments for name in found),
        "published": numbers(known[name].published for name in found),
        "title": words(known[name].title for name in found),
    }
    header, _, *lines = terminal(columns).splitlines()
    print(header)
    for _, block in groupby(zip(found, lines, strict=True), key=lambda pair: library.system(pair[0])):
        print("", *(line for _, line in block), sep="\n")


@app.command(rich_help_panel=USE)
def show(
    study: StudyName,
    machine: MachineName = None,
    at_once: AtOnce = None,
    csv: Annotated[bool, typer.Option("--csv", help="Print one line of CSV for each experiment, for programs.")] = False,
) -> None:
    """Show a ready-made study: its question, experiments, published numbers and training time."""
    document = library.compose(study)
    parsed, known = config.parse(document), likely(this_hardware()) if machine is None else read(machine)
    found = study_costs(parsed, known or NO_MACHINE, at_once)
    times = {cost.name: cost for cost in found}
    sources = list(dict.fromkeys(published.source for published in parsed.report.published.values()))
    if csv:
        print_rows([_csv_row(parsed, document, times[name], known) for name in parsed.experiments], csv=True)
        return
    _print_head(parsed, library.lines_of(study))
    rows = []
    for name, cost in times.items():
        row = {
            "experiment": name,
            "changes": flow(document["experiments"][name] or {})[1:-1],
            "published %": _published_cell(parsed.report.published.get(name), sources),
            "parameters": number(cost.parameters, "{:,}"),
            "M mult-adds": number(cost.multiply_adds / 1e6, "{:,.0f}"),
        }
        rows.append(row | ({"one seed": duration(cost.seconds)} if known else {}))
    print_rows(rows, csv=False, wide="changes")
    _print_foot(parsed, sources, known, sum(cost.wall for cost in found))


NO_MACHINE = Machine(
    name="none", device="", kind="predicted", seconds_per=dict.fromkeys(("step", "operation", "gflop", "gbyte", "megapixel"), 0.0)
)


def _print_head(study: Study, lines: Any) -> None:
    report = study.report
    print_paragraph(f"{study.name}: {report.title}")
    print_paragraph(f"Question: {report.question}")
    print_paragraph(f"From: {report.origin}.")
    for heading, texts in (("Known differences", report.differences), ("Notes", report.notes)):
        if texts:
            print(f"{heading}:")
            for text in texts:
                print_paragraph(f"- {text}", indent="  ")
    shared = {key: lines[key] for key in ("dataset", *config.SECTIONS) if key in lines}
    print("All experiments (what differs from studies/defaults.yaml):" if shared else "All experiments: studies/defaults.yaml.")
    for key, value in shared.items():
        print_paragraph(f"{key}: {flow(value)}", indent="  ")
    print()


def _published_cell(published: Published | None, sources: list[str]) -> Cell:
    """6.61 ± 0.16 (n=5) [1]; the source [1] is printed below the table."""
    if published is None:
        return EMPTY
    spread = "" if published.std is None else f" ± {published.std:.2f}"
    runs = "" if published.runs is None else f" (n={published.runs})"
    source = f" [{sources.index(published.source) + 1}]" if len(sources) > 1 else ""
    return Cell(published.error, f"{published.error:.2f}{spread}{runs}{source}")


def _print_foot(study: Study, sources: list[str], known: Machine | None, seconds: float) -> None:
    print()
    for place, source in enumerate(sources, 1):
        print_paragraph(f"[{place}] {source}" if len(sources) > 1 else f"Published: {source}.")
    timed = {name: row for name, row in study.report.published.items() if row.minutes}
    if timed:
        devices = ", ".join(sorted({row.device for row in timed.values() if row.device})) or "a device that is not stated"
        total = readable(60 * sum(row.minutes for row in timed.values()))
        print_paragraph(f"One run of each published row took {total} in all there ({devices}).")
    size = f"{counted(len(study.experiments), 'experiment')} x {counted(len(study.seeds), 'seed')}"
    if known is None:
        print_paragraph(f"{size}; their time on this machine is unknown: run `reslab calibrate` (minutes) to measure it.")
        return
    print_paragraph(f"{size}: {readable(seconds)} in all.")
    print_paragraph(f"Times of {known.summary()}.")


def _csv_row(study: Study, document: dict, cost: Any, known: Machine | None) -> dict[str, Any]:
    published = study.report.published.get(cost.name)
    said = published.model_dump() if published else dict.fromkeys(Published.model_fields)
    return {
        "study": study.name,
        "experiment": cost.name,
        "changes": flow(document["experiments"][cost.name] or {}),
        **{f"published_{key}": said[key] for key in ("error", "std", "runs", "source", "minutes", "device")},
        "parameters": cost.parameters,
        "multiply_adds": round(cost.multiply_adds),
        "seconds_per_seed": round(cost.seconds, 1) if known else None,
        "seeds": len(study.seeds),
        "machine": known.name if known else None,
        "machine_kind": known.kind if known else None,
    }


@app.command(rich_help_panel=USE)
def select(
    study: StudyName,
    rows: Annotated[
        str | None,
        typer.Option(
            help="Only these experiments: names or patterns, such as 'resnet0020,preact*'.",
            show_default="all",
            autocompletion=row_names,
        ),
    ] = None,
    seeds: Annotated[str | None, typer.Option(help="These seeds, such as 0,1,2.", show_default="the study's")] = None,
    within: Annotated[
        str | None, typer.Option(help="Only the cheapest experiments that train in this time (90s, 20m, 3h, 2d), all seeds.")
    ] = None,
    machine: MachineName = None,
    at_once: AtOnce = None,
    params: Params = Path("params.yaml"),
    force: Annotated[bool, typer.Option("--force", help="Overwrite edits that are not committed.")] = False,
) -> None:
    """Write a ready-made study, or a part of it, into params.yaml; `git diff` shows what was chosen.

    `dvc repro` then runs it, `dvc exp run -S ...` tries changes on top of it.
    """
    document = library.compose(study)
    chosen = library.subset(document, rows=None if rows is None else names_in(rows), seeds=seed_list(seeds))
    if within is not None:
        chosen = _affordable(chosen, within, find_machine(machine), at_once)
    library.select(chosen, params=params, force=force)
    size = f"{counted(len(chosen['experiments']), 'experiment')} x {counted(len(chosen['seeds']), 'seed')}"
    if len(chosen["experiments"]) > 1 and config.parse(document).report.compare and not config.parse(chosen).report.compare:
        print(f"{params}: no comparison of {study} is left; set `report.compare` to compare what is there")
    print(f"{params}: wrote study {study}, {size}; `dvc repro` runs it")


def _affordable(document: dict, within: str, machine: Machine, at_once: int | None) -> dict:
    """The part of a study that trains within the time; prints what is left out."""
    from reslab.cost.estimate import fitting

    found, seconds = study_costs(config.parse(document), machine, at_once), parse_duration(within)
    kept = fitting(found, seconds)
    if not kept:
        least = min(found, key=lambda cost: cost.wall)
        raise UserError(f"no experiment trains within {within}: the cheapest, {least.name}, takes {readable(least.wall)}")
    left_out = [cost for cost in found if cost.name not in kept]
    print(f"Trains within {within}: {readable(sum(cost.wall for cost in found if cost.name in kept))}, by {machine.summary()}.")
    if left_out:
        print(f"Left out: {', '.join(f'{cost.name} ({readable(cost.wall)})' for cost in left_out)}")
    return library.subset(document, rows=kept)
