"""Waiting for a cluster's jobs: patient with a Slurm that does not answer, and what ends early is submitted again."""

import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from reslab.errors import UserError
from reslab.grid import queue
from reslab.grid.networks import Network
from reslab.grid.queue import ENDED, SCANCELLED, Queued, Ticket, Unanswered, Unheard
from reslab.grid.states import state, summary, to_do

SECONDS_BETWEEN_LOOKS = 10.0  # at the cluster's jobs
PATIENCE = 600.0  # seconds with a Slurm that does not answer
MOST_TRIES = 2  # more for a network that failed, or that was stopped without getting further
FURTHER = 0.01  # of a network's training, at least
LEAVES = "; Ctrl-C leaves the jobs running"
GO_ON = "the cluster's jobs go on; `reslab train --status` shows them, `reslab train --cancel` ends them"
Submit = Callable[[list[Network]], list[str]]
Answer = TypeVar("Answer")


def wait_for(networks: list[Network], submit: Submit) -> None:
    """Wait until all networks are finished, with a line whenever something has changed; what ends early is submitted again.

    Raises UserError if some cannot be finished, or if Slurm does not answer for long.
    """
    before, again = "", Again(patiently(queue.memory))
    while True:
        known = patiently(queue.known)
        jobs = {ticket: job for ticket, job in known.items() if job.state not in ENDED}
        if (line := summary(networks, jobs)) != before:
            say(line + (LEAVES if not before else ""))
            before = line
        again.note(networks, known)
        if early := again.due(networks, jobs):
            resubmit(early, submit, jobs)
        elif not {"waiting", "running"} & {state(network, jobs) for network in networks}:
            break
        time.sleep(SECONDS_BETWEEN_LOOKS)
    if not all(network.finished for network in networks):
        raise UserError("not all networks are finished; `reslab train --status` says why, `reslab train` starts them again")
    print("all networks are finished; `dvc repro` collects them")


def resubmit(early: list[Network], submit: Submit, jobs: dict[Ticket, Queued]) -> None:
    """Submit networks again that have ended early."""
    told = summary(early, jobs)
    try:
        submitted = patiently(lambda: submit(early))
    except Unheard as error:  # no blind second sbatch: the next look at the queue says whether there is one to do
        return say(str(error))
    if submitted:  # unless somebody else has
        say(f"ended early: {told}; submitted again as {submitted[0]}" + (f" to {submitted[-1]}" if len(submitted) > 1 else ""))
    return None


def patiently(ask: Callable[[], Answer]) -> Answer:
    """The answer of a command of Slurm, which is asked again for minutes if it can be.

    Raises UserError, which says that the jobs go on, and Unheard.
    """
    until, said = time.monotonic() + PATIENCE, False
    while True:
        try:
            return ask()
        except Unheard:
            raise
        except UserError as error:
            if time.monotonic() > until or not isinstance(error, Unanswered):
                raise UserError(f"{error}; {GO_ON}") from error
            if not said:
                said = True
                say(f"{error}; asking again for {PATIENCE / 60:g} minutes")
        time.sleep(SECONDS_BETWEEN_LOOKS)


def say(line: str) -> None:
    """Print a line to stderr at once."""
    print(line, file=sys.stderr, flush=True)


class Again:
    """Which networks are submitted again: those that end early, unless they were cancelled or get no further."""

    def __init__(self, memory: float) -> None:
        self.memory, self.looked = memory, time.monotonic()  # seconds for which Slurm knows a job that has ended
        self.cancelled: set[Ticket] = set()
        self.waiting: set[Ticket] = set()  # a moment ago
        self.failures, self.tries = Counter[Path](), Counter[Path]()
        self.furthest: dict[Path, float] = {}

    def note(self, networks: list[Network], known: dict[Ticket, Queued]) -> None:
        """Remember which jobs a person has ended by scancel: Slurm forgets it within minutes.

        It forgets at once a job of an array that had not begun. After a silence in which a job may have begun, ended and been
        forgotten, nobody knows that it was cancelled.
        """
        now = time.monotonic()
        gone, self.looked = self.waiting - known.keys() if now - self.looked < self.memory else set(), now
        tickets = {network.ticket for network in networks}
        found = {ticket: known[ticket] for ticket in tickets & known.keys()}
        self.cancelled |= {ticket for ticket, job in found.items() if job.state == SCANCELLED} | gone
        self.waiting = {ticket for ticket, job in found.items() if job.waits}

    def due(self, networks: list[Network], jobs: dict[Ticket, Queued]) -> list[Network]:
        """The networks that are to be submitted now."""
        early = [network for network in to_do(networks, jobs) if not network.cancelled and network.ticket not in self.cancelled]
        return [network for network in early if self._one_more(network, failed=state(network, jobs) == "failed")]

    def _one_more(self, network: Network, *, failed: bool) -> bool:
        """Count an attempt at a network, and say whether there may be one: of those that were stopped and got further, always."""
        path = network.folder.path
        if failed:
            self.failures[path] += 1
            return self.failures[path] <= MOST_TRIES
        reached = network.fraction
        if reached >= self.furthest.get(path, 0.0) + FURTHER:
            self.furthest[path], self.tries[path] = reached, 0
        self.tries[path] += 1
        return self.tries[path] <= MOST_TRIES
