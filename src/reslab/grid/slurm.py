"""The engine `slurm`: arrays of jobs, submitted by submitit, each of which saves and is queued again when its time is over."""

import hashlib
import os
import secrets
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from reslab import stop
from reslab.errors import UserError
from reslab.grid import queue
from reslab.grid.cluster import Cluster, asked
from reslab.grid.networks import CANCELLED, LOG, SUBMITTED, Network, alike, read_note
from reslab.grid.states import to_do
from reslab.grid.work import handed
from reslab.runs.folders import checkpoints
from reslab.stop import children

FOLDER = "grid"  # of checkpoints/: submitit's own files
SECONDS_OF_ANOTHER = 300  # to submit jobs: another user, or another `reslab train`
SECONDS_TO_SAVE = 30  # for a network that is told to stop, before Slurm ends it
SECONDS_BETWEEN_LOOKS = 0.1
MOST_REQUEUES = 10_000
NONE_APPEARED = "none of its jobs is in the queue; `reslab train` looks again, and submits what is missing"
# Where submitit's work for a job is, when sbatch was not heard of and submitit could not give it the job's number
HANDED_OVER = """\
part=${{SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}}
ln {folder}/{name}$part.pkl {folder}/${{SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}}${{part}}_submitted.pkl 2>/dev/null || true"""


class Work:
    """What a job does: train its networks in a process of their own, which saves and ends when the job's time is over."""

    def __init__(self, file: Path, log: Path, submission: str) -> None:
        self.file, self.log, self.submission, self.process = file, log, submission, None

    def __call__(self) -> int:
        """Train; returns the process's status. It is raised as an error that Slurm sees unless it is zero.

        A job that came so late that its networks were submitted again does nothing.
        """
        if read_note(self.file.parent / SUBMITTED).get("name", self.submission) != self.submission:
            return 0
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            command = [sys.executable, "-m", "reslab.grid.work", str(self.file)]
            self.process = children.start(command, stdout=log, stderr=log, cwd=project_of(self.file))
        if status := self.process.wait():
            raise SystemExit(status if status > 0 else 128 - status)
        return 0

    def checkpoint(self) -> Any:
        """Called by submitit before the time is over, or when Slurm needs the node: save, and do the same in a new job."""
        import submitit

        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            if not ends_within(SECONDS_TO_SAVE, self.process.pid):
                self.process.kill()
        return submitit.helpers.DelayedSubmission(Work(self.file, self.log, self.submission))


def ends_within(seconds: float, child: int) -> bool:
    """Whether a child process ends in time, which a handler of signals may ask.

    Popen.wait cannot be asked there: the handler interrupts one that holds its lock, and would wait until its time is over.
    """
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                return True
        except ChildProcessError:  # it has ended, and Popen.wait knows
            return True
        time.sleep(SECONDS_BETWEEN_LOOKS)
    return False


def project_of(file: Path) -> Path:
    """The project whose checkpoints/<identity>/seed<k>/ a file is in."""
    return file.parents[3]


def check_here() -> None:
    """Raise UserError unless jobs can be submitted from here."""
    if shutil.which("sbatch") is None:
        raise UserError("engine slurm: there is no sbatch here; run this on a machine of the cluster, or set engine: local")
    try:
        import submitit  # noqa: F401
    except ImportError:
        raise UserError("engine slurm needs submitit: pip install --editable '.[slurm]'") from None


def submit_missing(networks: list[Network], cluster: Cluster) -> list[str]:
    """Submit those of the networks that nobody else has submitted meanwhile; returns the jobs' numbers."""
    checkpoints().mkdir(parents=True, exist_ok=True)
    with submitting():
        return submit(to_do(networks, queue.jobs()), cluster)


@contextmanager
def submitting() -> Iterator[None]:
    """A context that one process of all users is in; raises UserError if another one is in it for minutes."""
    lock = FileLock(checkpoints() / ".submitting.lock", timeout=SECONDS_OF_ANOTHER)
    try:
        with lock, stop.cooperating():  # what was submitted is also noted
            yield
    except Timeout:
        told = f"another `reslab train` has been submitting for {SECONDS_OF_ANOTHER // 60} minutes; end it first"
        raise queue.Unanswered(told) from None


def submit(networks: list[Network], cluster: Cluster) -> list[str]:
    """Submit the networks' jobs and note them in their folders; returns the jobs' numbers."""
    packs = [pack for some in alike(networks) for pack in parts(some, cluster.together)]
    jobs: list[str] = []
    for array in parts(packs, queue.largest_array() if len(packs) > 1 else 1):
        try:
            jobs += submit_array(array, cluster)
        except UserError as error:
            if not jobs:
                raise
            told = f"{len(jobs)} jobs were submitted before, {jobs[0]} to {jobs[-1]}, and go on; `reslab train` submits the others"
            raise type(error)(f"{error}; {told}") from error
    return jobs


def parts(whole: list[Any], size: int) -> list[list[Any]]:
    """A list in parts of `size`; the last may be shorter."""
    return [whole[first : first + size] for first in range(0, len(whole), size)]


def submit_array(packs: list[list[Network]], cluster: Cluster) -> list[str]:
    """Submit one array: a job for each pack of networks; raises Unheard if nobody knows whether Slurm has it.

    It is noted under its name before: its jobs are known by that whatever becomes of this process, or of sbatch's answer.
    """
    import submitit

    executor = submitit.SlurmExecutor(
        folder=checkpoints() / FOLDER, max_num_timeout=MOST_REQUEUES, python=shlex.quote(sys.executable)
    )
    name = f"{name_of_project()}-{secrets.token_hex(4)}"  # of this submission only
    wanted = asked(cluster) | turns(len(packs), cluster) | {"job_name": name}
    wanted["setup"] = [HANDED_OVER.format(folder=shlex.quote(str(executor.folder)), name=name), *wanted["setup"]]
    executor.update_parameters(**wanted)
    work = [Work(handed(pack), pack[0].folder.path / LOG, name) for pack in packs]
    for number, (pack, each) in enumerate(zip(packs, work, strict=True)):
        place = str(number) if len(packs) > 1 else ""
        hand_over(each, executor.folder / f"{name}{place and '_'}{place}.pkl", wanted["time"])
        for network in pack:
            network.tell(SUBMITTED, {"name": name, "user": str(os.getuid()), "place": place, "log": str(each.log)})
    try:
        return [job.job_id for job in submit_each(executor, work)]
    except queue.Unanswered as error:
        if found := queue.appearing(name):
            return found
        raise queue.Unheard(f"{error}; {NONE_APPEARED}") from error


def hand_over(work: Work, path: Path, minutes: int) -> None:
    """Leave a job's work where the job finds it by the name of its submission."""
    import submitit

    delayed = submitit.helpers.DelayedSubmission(work)
    delayed.set_timeout(minutes, MOST_REQUEUES)
    path.parent.mkdir(parents=True, exist_ok=True)
    delayed.dump(path)


def name_of_project() -> str:
    """How the names of all jobs of this project begin."""
    return f"reslab-{hashlib.sha256(os.fsencode(checkpoints())).hexdigest()[:8]}"


def turns(count: int, cluster: Cluster) -> dict[str, Any]:
    """How many of an array's `count` jobs run at once, and what they wait for: never more than `at_once` networks of the project.

    They share with the project's earlier jobs, whoever submitted them: an array gets the room that those leave, or else waits until
    all of them have ended.
    """
    if cluster.at_once is None:
        return {"array_parallelism": count}
    most = cluster.at_once // cluster.together
    earlier = [job.number for ticket, job in queue.jobs().items() if ticket.name.startswith(f"{name_of_project()}-")]
    if (room := most - len(earlier)) > 0:
        return {"array_parallelism": room}
    arrays = dict.fromkeys(number.partition("_")[0] for number in earlier)
    return {"array_parallelism": most, "dependency": ":".join(["afterany", *arrays])}


def submit_each(executor: Any, work: list[Work]) -> list[Any]:
    """One array of them all; raises UserError with what sbatch said, Unanswered if it may have submitted them all the same."""
    import submitit

    try:
        with queue.limited("sbatch", queue.SECONDS_TO_SUBMIT), executor.batch():
            return [executor.submit(each) for each in work]
    except (submitit.core.utils.FailedJobError, submitit.core.utils.FailedSubmissionError) as error:
        unread = isinstance(error, submitit.core.utils.FailedSubmissionError)  # sbatch ended well and said what nobody understands
        kind = queue.Unanswered if unread or queue.LOST_ANSWER.search(str(error)) else UserError
        raise kind(f"sbatch: {' '.join(str(error).split())[-300:]}") from error


def cancel(networks: list[Network]) -> list[str]:
    """End the jobs of networks that wait or run; returns their numbers."""
    known = queue.jobs()
    # Of a network that is finished, a job may be about to end
    under_way = [(network, ticket) for network in networks if not network.finished and (ticket := network.ticket) in known]
    jobs = list(dict.fromkeys(known[ticket].number for _, ticket in under_way))
    if jobs:
        queue.ask("scancel", *jobs)
    for network, ticket in under_way:  # afterwards: if scancel fails, the job runs on, and another one must follow it
        if network.ticket == ticket:
            network.tell(SUBMITTED, network.told(SUBMITTED) | {CANCELLED: True})
    return jobs
