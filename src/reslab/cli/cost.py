"""Commands about time: measure this machine, and estimate the time of a study on a machine."""

import datetime
import platform
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reslab import config
from reslab.cli.app import UPKEEP, USE, app
from reslab.cli.options import PREPARED, AtOnce, MachineName, Params, link_names, study_names
from reslab.cli.text import counted, duration, print_rows, readable
from reslab.config import library
from reslab.config.schema import unknown
from reslab.config.study import Study
from reslab.cost import machines
from reslab.cost.links import LINKS, Wiring
from reslab.cost.machines import Machine
from reslab.environment import count_from_environment, cpu_count, cpu_name, may_have_gpu
from reslab.errors import UserError, shown
from reslab.report.tables.cells import number

if TYPE_CHECKING:
    from reslab.cost.estimate import Cost


@app.command(rich_help_panel=USE)
def estimate(
    study: Annotated[
        str | None,
        typer.Argument(
            help="A name that `reslab studies` lists; without one, the study in params.yaml.", autocompletion=study_names
        ),
    ] = None,
    machine: MachineName = None,
    at_once: AtOnce = None,
    processes: Annotated[
        str | None,
        typer.Option(help="Of one network, such as 1,2,8: the time of a seed trained by so many, and their efficiency."),
    ] = None,
    link: Annotated[
        str,
        typer.Option(
            help=f"What connects the processes: {', '.join(LINKS)}; nvlink:8,infiniband-400 for machines of eight.",
            autocompletion=link_names,
        ),
    ] = "loopback",
    decoders: Annotated[
        int, typer.Option(min=1, help="Processes that decode images for each process, where they are stored as files.")
    ] = 4,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV with seconds, for programs.")] = False,
    params: Params = Path("params.yaml"),
) -> None:
    """Estimate the training time of each experiment and of the whole study, before anything is trained."""
    chosen = config.load(params) if study is None else config.parse(library.compose(study))
    known = find_machine(machine)
    if processes is not None:
        return print_shared(chosen, known, processes, wired(link), decoders, csv=csv)
    found = study_costs(chosen, known, at_once)
    if csv:
        rows = [{**cost._asdict(), "seeds": len(chosen.seeds), "machine": known.name, "kind": known.kind} for cost in found]
        return print_rows(rows, csv=True)
    rows = [
        {
            "experiment": cost.name,
            "parameters": number(cost.parameters, "{:,}"),
            "million multiply-adds": number(cost.multiply_adds / 1e6, "{:,.1f}"),
            "one seed": duration(cost.seconds),
            f"{len(chosen.seeds)} seeds": duration(cost.wall),
        }
        for cost in found
    ]
    print_rows(rows, csv=False)
    total, together = readable(sum(cost.wall for cost in found)), min(at_once or default_at_once(known), len(chosen.seeds))
    print(f"\nAll of {chosen.name}: {total}, {counted(together, 'seed')} at once.")
    print(f"Times of {known.summary()}. Start-up of the stages, some seconds each, is not counted.")
    return None


def wired(text: str) -> Wiring:
    """The wiring that `--link` names: a link, or LINK:PROCESSES,LINK; raises UserError for anything else."""
    found = re.fullmatch(r"([^:,]+)(?::([1-9]\d{0,5}),([^:,]+))?", text)
    if found is None:
        raise UserError(
            f"--link {shown(text)}: expected a link, or links within and between machines, such as nvlink:8,ethernet-25"
        )
    inside, per_machine, between = found.groups()
    for name in filter(None, (inside, between)):
        if name not in LINKS:
            raise UserError(unknown(name, list(LINKS), "link"))
    return Wiring(LINKS[inside], per_machine and int(per_machine), between and LINKS[between])


def print_shared(study: Study, machine: Machine, counts: str, wiring: Wiring, decoders: int, *, csv: bool) -> None:
    """The time of one seed by each number of processes: a step's compute, exchange and decoding, the whole, the efficiency."""
    from reslab.cost.sharing import shared
    from reslab.data.sizes import size_facts, stored_as

    if not re.fullmatch(r"[1-9]\d{0,5}(,[1-9]\d{0,5})*", counts):
        raise UserError(f"--processes {shown(counts)}: expected numbers such as 1,2,8")
    facts, rows = size_facts(study.dataset, study.validation, PREPARED), []
    decodes = stored_as(study.dataset) == "files"
    for experiment in study.experiments.values():
        for count in map(int, counts.split(",")):
            found = shared(experiment, facts, machine, count, wiring, decoders=decoders if decodes else None)
            times = {"step": found.compute, "exchange": found.exchange} | ({"decoding": found.decoding} if decodes else {})
            times["one seed"] = found.seconds
            shown_times = times if csv else {name: duration(value) for name, value in times.items()}
            efficiency = found.efficiency if csv else f"{found.efficiency:.0%}"
            rows.append({"experiment": experiment.name, "processes": count, **shown_times, "efficiency": efficiency})
    print_rows(rows, csv=csv)
    if not csv:
        print(f"\nTimes of {machine.summary()}.\nLink: {wiring.link.source}.")
        if wiring.per_machine is not None:
            print(f"Between machines, which have {wiring.per_machine} of the processes each: {wiring.between.source}.")
        if decodes:
            print(f"For each process {decoders} others decode the next batch meanwhile; the slower of both counts.")


@app.command(rich_help_panel=UPKEEP)
def calibrate(
    name: Annotated[str | None, typer.Option(help="Name of the file.", show_default="made of the device's name")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Passes over all networks; the quickest counts.")] = 3,
    steps: Annotated[int, typer.Option(min=1, help="Timed training steps of each network in a round; their median counts.")] = 5,
    network: Annotated[list[str] | None, typer.Option(help="Only these networks; may be repeated.", show_default="all")] = None,
    published: Annotated[
        str | None, typer.Option(help="Measure nothing: fit the training times that studies cite for this device.")
    ] = None,
    note: Annotated[str, typer.Option(help="What a reader should know, such as who else uses the machine.")] = "",
) -> None:
    """Measure how fast this machine trains (minutes), so that `estimate`, `show` and `select --within` know it."""
    from reslab.cost import calibrate

    if published is not None:
        rows = calibrate.distinct_rows((config.parse(library.compose(study)) for study in library.present()), published)
        if not rows:
            raise UserError(f"no study has published minutes for {published!r}; {_known_devices()}")
        about = {"device": published, "kind": "published", "threads": None}
    else:
        rows, about = _measured(network, rounds=rounds, steps=steps)
    made = {"date": datetime.date.today().isoformat()} | about.pop("made", {})
    fitted = calibrate.fitted(rows, name=name or slug(about["device"], about["threads"]), note=note, made=made, **about)
    print(f"{machines.write(fitted)}: {fitted.summary()}")


def _measured(network: list[str] | None, *, rounds: int, steps: int) -> tuple[list, dict]:
    from reslab.cost import calibrate
    from reslab.training.execution import hardware

    chosen = library.matching(calibrate.NETWORKS, network or ["*"])
    device = hardware.choose_device()
    hardware.prepare(device, precision="float32", fast=False)
    sizes = calibrate.BATCHES[device.type]
    rows = calibrate.time_networks(device, batch_sizes=sizes, steps=steps, rounds=rounds, networks=chosen)
    found = hardware.describe(device)
    made = {"torch": found["torch"], "cuda": found["cuda"], "python": platform.python_version()}
    return rows, {
        "device": found["device"],
        "threads": found["threads"] if device.type == "cpu" else None,
        "kind": "measured",
        "made": {key: str(value) for key, value in made.items() if value},
    }


def _known_devices() -> str:
    reports = [config.parse(library.compose(study)).report for study in library.names()]
    devices = {row.device for report in reports for row in report.published.values() if row.minutes and row.device}
    return f"allowed: {', '.join(sorted(devices))}"


def slug(device: str, threads: int | None) -> str:
    """A file's name for a device."""
    words = re.sub(r"\((r|tm)\)|processor|cpu|@.*", " ", device.lower())
    stem = re.sub(r"[^a-z0-9]+", "-", words).strip("-")
    return f"{stem}-{threads}-thread" if threads else stem


def find_machine(name: str | None) -> Machine:
    """The machine by name, or the measurement of this one, or the nearest that is known; raises UserError without one."""
    found = machines.likely(this_hardware()) if name is None else machines.read(name)
    if found is None:
        raise UserError(f"this machine is not measured yet: run `reslab calibrate`, or give --machine {'|'.join(machines.names())}")
    return found


def this_hardware() -> dict[str, Any]:
    """The device that trains here, and the threads of a network on a CPU (None on a GPU)."""
    device, threads = cpu_name(), count_from_environment("RESLAB_THREADS", 1)
    if may_have_gpu():
        from reslab.training.execution import hardware

        chosen = hardware.choose_device()
        device, threads = hardware.describe(chosen)["device"], threads if chosen.type == "cpu" else None
    return {"device": device, "threads": threads}


def default_at_once(machine: Machine) -> int:
    """The number of seeds that train at once: RESLAB_WORKERS, else one on a GPU, or one a core of this CPU."""
    return count_from_environment("RESLAB_WORKERS", cpu_count() if machine.threads else 1)


def study_costs(study: Study, machine: Machine, at_once: int | None) -> "list[Cost]":
    """The cost of each experiment of a study on a machine."""
    from reslab.cost.estimate import costs
    from reslab.data.sizes import size_facts

    facts = size_facts(study.dataset, study.validation, PREPARED)
    return costs(study, facts, machine, at_once=at_once or default_at_once(machine))
