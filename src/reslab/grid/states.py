"""What is known of each network: done, waiting, running, failed, stopped, or missing."""

from collections import Counter

from reslab.grid.networks import LOST, PROGRESS, Network
from reslab.grid.queue import Queued, Ticket


def state(network: Network, jobs: dict[Ticket, Queued]) -> str:
    """The state of a network, by its folder and the cluster's jobs."""
    if network.finished:
        return "done"
    job = jobs.get(network.ticket)
    if job is not None and job.waits:
        return "waiting"
    if job is not None or network.training_here():
        return "running"
    doing = network.told(PROGRESS).get("doing")
    return "failed" if doing == "failed" else "stopped" if doing in LOST else "missing"


def to_do(networks: list[Network], jobs: dict[Ticket, Queued]) -> list[Network]:
    """The networks that nobody trains and that are not finished."""
    return [network for network in networks if state(network, jobs) in ("failed", "stopped", "missing")]


def summary(networks: list[Network], jobs: dict[Ticket, Queued]) -> str:
    """How many networks are in each state, and why some wait for more than their turn."""
    found = [(state(network, jobs), network.ticket) for network in networks]
    counts = Counter((name, jobs[job].told if name == "waiting" else "") for name, job in found)
    return ", ".join(f"{count} {name}" + (f" ({why})" if why else "") for (name, why), count in sorted(counts.items()))
