"""`reslab train`: the study's missing networks on this machine or on a cluster, in any order; `dvc repro` then collects them."""

import sys
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
from filelock import FileLock, Timeout

from reslab import config, git, stop
from reslab.cli.app import USE, app
from reslab.cli.cost import find_machine
from reslab.cli.options import PREPARED, Params
from reslab.cli.project import check_dvc
from reslab.cli.split import targets
from reslab.cli.text import print_rows, readable
from reslab.config.study import Study
from reslab.cost.links import LINKS, Wiring
from reslab.errors import UserError, cut
from reslab.grid import cluster, local, queue, slurm, watch
from reslab.grid.cluster import Cluster
from reslab.grid.networks import PROGRESS, Network, of_study
from reslab.grid.queue import Queued, Ticket
from reslab.grid.states import state, summary, to_do
from reslab.report.tables.cells import number
from reslab.runs.folders import checkpoints
from reslab.stop import children


@app.command(rich_help_panel=USE)
def train(
    params: Params = Path("params.yaml"),
    settings: Annotated[Path, typer.Option("--cluster", help="Where networks are trained.")] = cluster.FILE,
    status: Annotated[bool, typer.Option("--status", help="Only show how far each network is.")] = False,
    cancel: Annotated[bool, typer.Option("--cancel", help="End the cluster's jobs of this study.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print the jobs, their hours and the cost.")] = False,
    wait: Annotated[bool, typer.Option(help="Wait for the cluster's jobs.")] = True,
) -> None:
    """Train the networks of the study that are missing, here or on a cluster (cluster.yaml); `dvc repro` then collects them."""
    study, chosen = config.load(params), cluster.read(settings)
    if not (status or cancel or dry_run):
        describe()
    code = {} if status or cancel or dry_run else git.commit_state()
    networks = of_study(study, PREPARED.resolve(), code, processes=chosen.processes)
    if chosen.engine == "slurm":
        slurm.check_here()
    if status:
        return show(networks, jobs_of(chosen))
    if cancel:
        return end(networks, chosen)
    hours = hours_of(study, chosen)  # by which the longest come first
    if dry_run:
        return estimated(networks, jobs_of(chosen), hours, chosen)
    missing = sorted(to_do(networks, jobs_of(chosen)), key=lambda network: -(hours.get(network.job.experiment) or 0.0))
    print(
        f"{study.name}: {len(networks)} networks, {sum(network.finished for network in networks)} finished, {len(missing)} to start"
    )
    (on_cluster if chosen.engine == "slurm" else here)(networks, missing, chosen, wait)
    return None


def describe() -> None:
    """Let DVC describe the experiments whose code, data or parameters have changed: a network's identity is made of that.

    One at a time: DVC would refuse another user's or another pod's.
    """
    check_dvc()
    checkpoints().mkdir(parents=True, exist_ok=True)
    lock = FileLock(checkpoints() / ".describing.lock")
    try:
        held = lock.acquire(blocking=False)
    except Timeout:
        print("another `reslab train` describes the experiments; waiting for it", file=sys.stderr, flush=True)
        held = lock.acquire()
    with held:
        children.run(["dvc", "repro", *targets("describe")], stdout=sys.stderr)


def hours_of(study: Study, chosen: Cluster) -> dict[str, float | None]:
    """The estimated hours of a network of each experiment, by as many processes as train it; None where no machine is measured."""
    from reslab.cost.sharing import shared
    from reslab.data.sizes import size_facts, stored_as

    try:
        machine = find_machine(chosen.machine)
    except UserError:
        if chosen.machine is not None:
            raise
        return dict.fromkeys(study.experiments)
    facts, wiring = size_facts(study.dataset, study.validation, PREPARED), Wiring(LINKS[chosen.link])
    decoders = max(1, chosen.cpus - 1) if stored_as(study.dataset) == "files" else None
    experiments = study.experiments.items()
    return {
        name: shared(each, facts, machine, chosen.processes, wiring, decoders=decoders).seconds / 3600 for name, each in experiments
    }


def estimated(networks: list[Network], jobs: dict[Ticket, Queued], hours: dict[str, float | None], chosen: Cluster) -> None:
    """Print what would be started, with hours and cost, and how many others wait or run."""
    missing = to_do(networks, jobs)
    counted = Counter(network.job.experiment for network in missing)
    rows = []
    for name, count in counted.items():
        each = hours[name]
        told = "not known" if each is None else readable(each * 3600)
        rows.append(
            {"experiment": name, "networks": number(count, "{}"), "processes": number(chosen.processes, "{}"), "time of each": told}
        )
    if rows:
        print_rows(rows, csv=False)
    others = sum(not network.finished for network in networks) - len(missing)
    under_way = f" {others} more wait or run." if others else ""
    if any(hours[name] is None for name in counted):
        print(f"{len(missing)} networks would be started.{under_way}")
        print("The times are not known: measure the machine with `reslab calibrate`, or name one in cluster.yaml (machine: ...).")
        return
    total = sum(hours[name] * count * chosen.processes for name, count in counted.items())
    price = f", {total * chosen.price:,.2f} {chosen.currency}".rstrip() if chosen.price else ""
    shared = " at most: those of a job share its GPU" if chosen.networks_per_job > 1 else ""
    print(f"{len(missing)} networks would be started, {readable(total * 3600)} of computing in all{price}{shared}.{under_way}")


def jobs_of(chosen: Cluster) -> dict[Ticket, Queued]:
    """The cluster's jobs; none where there is no cluster."""
    return queue.jobs() if chosen.engine == "slurm" else {}


def show(networks: list[Network], jobs: dict[Ticket, Queued]) -> None:
    """Print the state of each network, with its progress or the last line of its log."""
    rows = []
    for network in networks:
        found, progress = state(network, jobs), network.told(PROGRESS)
        job = jobs.get(network.ticket, Queued(""))
        rows.append(
            {
                "experiment": network.job.experiment,
                "seed": number(network.job.seed, "{}"),
                "state": found,
                "epoch": cut(f"{progress['epoch']} of {progress.get('epochs')}") if "epoch" in progress and found != "done" else "",
                "job": job.number,
                "last words": job.reason if found == "waiting" else last_words(network, found),
            }
        )
    print_rows(rows, csv=False)
    print(summary(networks, jobs))


def last_words(network: Network, found: str) -> str:
    """Why a network that does not train has ended, or the last line of its log."""
    return cut(str(network.told(PROGRESS).get("why") or network.tail())) if found in ("failed", "stopped", "missing") else ""


def end(networks: list[Network], chosen: Cluster) -> None:
    """End the cluster's jobs of these networks."""
    if chosen.engine != "slurm":
        raise UserError("nothing to cancel: the engine local ends with its command (Ctrl-C)")
    jobs = slurm.cancel(networks)
    print(f"ended {len(jobs)} jobs; `reslab train` goes on from what they saved" if jobs else "no job of this study waits or runs")


def here(networks: list[Network], missing: list[Network], chosen: Cluster, wait: bool) -> None:
    """Train on this machine."""
    done = sum(network.finished for network in networks)

    def said(network: Network) -> None:
        nonlocal done
        done += 1
        print(f"{network.name}: finished ({done} of {len(networks)})", file=sys.stderr, flush=True)

    with stop.cooperating():
        local.train(missing, chosen, said)
    print("all networks are finished; `dvc repro` collects them")


def on_cluster(networks: list[Network], missing: list[Network], chosen: Cluster, wait: bool) -> None:
    """Submit jobs, one user at a time, and wait for them."""
    jobs = slurm.submit_missing(missing, chosen)
    print(f"submitted {len(jobs)} jobs" + (f": {jobs[0]} to {jobs[-1]}" if jobs else ""), flush=True)
    if wait:
        try:
            watch.wait_for(networks, lambda early: slurm.submit_missing(early, chosen))
        except stop.Stopped:
            print(watch.GO_ON, file=sys.stderr)
            raise SystemExit(130) from None
