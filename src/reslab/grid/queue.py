"""What Slurm says of its jobs. Its commands are given a limit: without munge or its controller they may never answer."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

import psutil

from reslab import stop
from reslab.errors import UserError, cut

SECONDS, SECONDS_TO_SUBMIT = 30, 120  # for an answer of squeue or scancel, and of sbatch, which may have thousands of jobs
SECONDS_TO_APPEAR = 60  # for a job whose sbatch was not heard of: a busy controller may still take it
SECONDS_BETWEEN_LOOKS = 2.0
AGAIN = 1.0  # seconds to the next alarm, should what it interrupts begin to wait again
DUE = 1e-3  # seconds; zero would stop a timer
WAITING = ("PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "SPECIAL_EXIT", "RESV_DEL_HOLD", "SUSPENDED", "STOPPED")
NO_REASON, ORDINARY = "None", ("", "None", "Resources", "Priority", "JobArrayTaskLimit", "Dependency", "BeginTime", "Prolog")
BY_ADMINISTRATOR, HELD = "heldadmin", ("held", "hold")  # parts of a reason
NEVER = (
    "partitiontimelimit", "partitionnodelimit", "partitionconfig", "perjob", "badconstraints", "notallowed", "invalid",
    "neversatisfied",
)  # fmt: skip
USUAL_ARRAY, USUAL_MEMORY = 1001, 300  # jobs; seconds
# Where sbatch complains so, its message may have arrived all the same
LOST_ANSWER = re.compile(r"timed? ?out|unable to contact|connection|communicat|zero bytes|unexpected message", re.IGNORECASE)
SCANCELLED = "CANCELLED"  # by a person
ENDED = (
    SCANCELLED, "BOOT_FAIL", "COMPLETED", "DEADLINE", "FAILED", "LAUNCH_FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED",
    "RECONFIG_FAIL", "REVOKED", "TIMEOUT",
)  # fmt: skip
FILTERS = ("SQUEUE_", "SCANCEL_")  # variables that would hide jobs of other users from squeue, or ask questions


class Unanswered(UserError):
    """Who can be asked again: a command of Slurm without an answer or with a complaint, or another `reslab train`."""


class Unheard(UserError):
    """An sbatch without an answer, none of whose jobs is there: one more sbatch may be one too many."""


class Ticket(NamedTuple):
    """What tells a job from all others, and is known before it has a number: no other submission has its name."""

    name: str
    user: str  # by number
    place: str  # in its array; empty without one


class Queued(NamedTuple):
    """A job that Slurm knows: its state, why it waits, and its number."""

    state: str
    reason: str = ""
    number: str = ""

    @property
    def waits(self) -> bool:
        """Whether it has not begun, or not again."""
        return self.state in WAITING

    @property
    def told(self) -> str:
        """Why it waits and what can be done; empty where it only waits for its turn."""
        if not self.waits or self.reason in ORDINARY:
            return ""
        plain = self.reason.lower()
        if BY_ADMINISTRATOR in plain:
            return f"{self.reason}: an administrator holds it; ask them"
        if any(part in plain for part in HELD):
            return f"{self.reason}: `scontrol release JOB` lets it start"
        if any(part in plain for part in NEVER):
            return f"{self.reason}: Slurm will not start it; `reslab train --cancel`, then ask for less in cluster.yaml"
        return self.reason


def jobs() -> dict[Ticket, Queued]:
    """The jobs that wait or run; raises UserError if Slurm does not answer."""
    return {ticket: job for ticket, job in known().items() if job.state not in ENDED}


def known() -> dict[Ticket, Queued]:
    """The jobs that wait or run, and those that ended minutes ago; raises UserError if Slurm does not answer."""
    found = {}
    for line in ask("squeue", "--noheader", "--array", "--states=all", "--format=%i|%T|%U|%j|%r").splitlines():
        number, *others = line.strip().split("|", 4)
        if len(others) == 4:  # the other lines name a cluster
            state, user, name, reason = others
            ticket = Ticket(name, user, number.partition("_")[2])
            found[ticket] = Queued(state, "" if reason == NO_REASON else cut(reason), number)
    return found


def appearing(name: str) -> list[str]:
    """The numbers of the jobs of a submission whose sbatch was not heard of; none if none appears for a while."""
    until, mine = time.monotonic() + SECONDS_TO_APPEAR, (name, str(os.getuid()))
    while True:
        with suppress(Unanswered):
            found = {int(ticket.place or 0): job.number for ticket, job in known().items() if ticket[:2] == mine}
            if found:
                return [found[place] for place in sorted(found)]
        if time.monotonic() > until:
            return []
        stop.check()  # nothing is lost: the submission is noted
        time.sleep(SECONDS_BETWEEN_LOOKS)


def largest_array() -> int:
    """The most jobs that this Slurm takes in one array."""
    return max(1, _setting("MaxArraySize", USUAL_ARRAY))


def memory() -> float:
    """The seconds for which this Slurm knows a job that has ended."""
    return _setting("MinJobAge", USUAL_MEMORY) or float("inf")


def _setting(name: str, usual: int) -> int:
    """A setting of this Slurm, or the usual one where it does not tell."""
    try:
        found = re.search(rf"^{name}\s*=\s*(\d+)", ask("scontrol", "show", "config"), re.MULTILINE)
    except UserError:
        return usual
    return int(found[1]) if found else usual


def ask(*command: str) -> str:
    """What a command of Slurm prints; raises Unanswered with what it complains of, or if it does not answer in time."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(FILTERS)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "errors": "replace"}
    try:
        process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, start_new_session=True, **pipes)
    except FileNotFoundError:
        raise UserError(f"engine slurm: there is no {command[0]} here; run this on a machine of the cluster") from None
    try:
        said, complaint = process.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        raise silent(command[0], SECONDS) from None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)  # with whatever it has started: on some clusters it is a script
            process.wait()
    if process.returncode:
        raise Unanswered(f"{command[0]}: {cut(' '.join(complaint.split())) or f'failed with status {process.returncode}'}")
    return said


class _Silent(Exception):
    """The time of a command is over: of its own kind, for a file system has a TimeoutError too."""


def silent(name: str, seconds: float) -> Unanswered:
    """The error of a command that does not answer."""
    return Unanswered(
        f"{name}: no answer within {seconds:g} s; are Slurm's controller and munge running (`scontrol ping`)? Jobs that run go on"
    )


def _descendants() -> set[psutil.Process]:
    return set(psutil.Process().children(recursive=True))


def _end_all_but(earlier: set[psutil.Process]) -> None:
    """Kill what this process has started since, with what that has started: a wrapper of sbatch that ends leaves sbatch behind.

    All are halted first, for a process that runs could start another, and of one that has ended nobody knows whom it started.
    """
    found: set[psutil.Process] = set()
    while new := _descendants() - earlier - found:
        found |= new
        for process in new:
            with suppress(psutil.Error):
                process.suspend()
    for process in found:
        with suppress(psutil.Error):
            process.kill()


@contextmanager
def limited(name: str, seconds: float) -> Iterator[None]:
    """A context for a call of a library that runs a command: after `seconds`, kill what was started in it and raise Unanswered.

    For the main thread only, which is the one that gets signals.
    """
    earlier = _descendants()

    def end(*_: Any) -> None:
        _end_all_but(earlier)
        raise _Silent

    began = time.monotonic()
    before = signal.signal(signal.SIGALRM, end)
    left, interval = signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN)
    try:
        yield
    except Exception as error:
        if isinstance(error, _Silent) or isinstance(error.__cause__, _Silent):
            raise silent(name, seconds) from error
        raise
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if left:  # somebody's timer ran: it goes on, at once if it was due meanwhile
            signal.setitimer(signal.ITIMER_REAL, max(left - (time.monotonic() - began), DUE), interval)
