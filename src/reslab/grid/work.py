"""The work of a process: a network, or several of them. A job of Slurm runs `python -m reslab.grid.work FILE`."""

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from reslab import errors, stop
from reslab.environment import DECODERS, cpu_count, may_have_gpu
from reslab.errors import UserError
from reslab.grid.networks import PROGRESS, Network, ProgressFiles, write_note
from reslab.runs import processes
from reslab.runs.checksums import read_text
from reslab.runs.jobs import Job

WORK = "work.json"


@dataclass(frozen=True)
class Bundle:
    """Networks that one process trains: together on a GPU, or one after the other, each over all `gpus`."""

    gpus: tuple[str, ...]  # as RESLAB_DEVICE names one, or CUDA_VISIBLE_DEVICES several; none: what this process sees
    jobs: tuple[Job, ...]
    at_once: int = 1
    decoders: int = 1  # for each process that trains
    seed: int = 0  # of no meaning: a pool's jobs have one


def handed(networks: list[Network]) -> Path:
    """A file in the first network's folder that says what `main` is to train."""
    path = networks[0].folder.path / WORK
    jobs = [asdict(network.job) | {"data": str(network.job.data), "at_once": len(networks)} for network in networks]
    write_note(path, {"jobs": jobs})
    return path


def main(file: Path) -> None:
    """Train the networks that FILE tells of, or go on with them."""
    if not file.exists():
        raise UserError(f"{file}: not on this machine; the project must lie on a file system that all nodes share")
    try:
        first, *others = [Job(**told | {"data": Path(told["data"])}) for told in json.loads(read_text(file))["jobs"]]
    except UserError:  # a job's own refusal, which is a ValueError too
        raise
    except (ValueError, TypeError, LookupError, RecursionError) as error:
        raise UserError(f"{file}: damaged ({errors.first_line(error)}); `reslab train` writes it anew") from None
    with stop.cooperating():
        if others:
            train_on(alone_on_node((first, *others)))
        else:
            train_here(first)


def alone_on_node(jobs: tuple[Job, ...]) -> Bundle:
    """The networks of a job, which share its GPU and its cores."""
    from reslab.runs.shared_gpu import MOST

    count = min(MOST, len(jobs))
    return Bundle((), jobs, count, decoders(count))


def train_here(job: Job) -> None:
    """Train a network by this process, or by as many as its job says."""
    processes.report_also_to(ProgressFiles())
    train(job)


def train(job: Job) -> None:
    """Train a network whose progress is noted."""
    from reslab.weights import trained

    with noted_if_failed(job):
        trained.train_in_processes(job)


def train_in_turn(job: Job, take_turn: Callable[[], None]) -> None:
    """Train a network that shares this process with others."""
    from reslab.runs.gpu_memory import out_of_memory
    from reslab.weights import trained

    with noted_if_failed(job, but=out_of_memory):  # it may only wait for room
        trained.train_network(job, take_turn)


@contextmanager
def noted_if_failed(job: Job, but: Callable[[Exception], bool] = lambda error: False) -> Iterator[None]:
    """Let a network's progress say why it cannot be trained, unless that is an error after which it starts again."""
    try:
        yield
    except Exception as error:
        if not but(error):
            note_failed(job, error)
        raise


def note_failed(job: Job, error: Exception) -> None:
    """Let a network's progress say why it cannot be trained."""
    from reslab.runs.spread import in_plain_words

    why = errors.cut(in_plain_words(error) or f"{type(error).__name__}: {errors.telling_line(error)}")
    with suppress(OSError, UserError):  # the disk may be full: then that is what is said
        Network(job).tell(PROGRESS, Network(job).told(PROGRESS) | {"doing": "failed", "why": why})


def train_on(bundle: Bundle) -> None:
    """Train several networks on one GPU, together as far as they have room."""
    from reslab.runs.shared_gpu import MOST, run_together
    from reslab.training.execution import hardware

    processes.report_also_to(ProgressFiles())
    if bundle.gpus:
        (os.environ["RESLAB_DEVICE"],) = bundle.gpus
    os.environ.setdefault(DECODERS, str(bundle.decoders))
    most = min(MOST, bundle.at_once)
    with stop.cooperating():
        device = hardware.choose_device()
        for _ in run_together(train_in_turn, list(bundle.jobs), device=device, most=most, too_large=note_failed):
            pass


def train_over(bundle: Bundle) -> None:
    """Train networks one after the other, each over several GPUs; raises the first one's error when the others have ended."""
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(bundle.gpus)  # torch looks for GPUs later
    os.environ.setdefault(DECODERS, str(bundle.decoders))
    processes.report_also_to(ProgressFiles())
    each_in_turn(train, bundle.jobs)


def each_in_turn(work: Callable[[Any], None], items: Iterable[Any]) -> None:
    """Do some work on each item; the first failure is raised when all have ended, at once if it is a process that was killed."""
    failure = None
    for item in items:
        try:
            work(item)
        except processes.LostProcess:  # what killed it may be after the others
            raise
        except Exception as error:  # noqa: BLE001 - raised below
            failure = failure or error
    if failure is not None:
        raise failure


def decoders(count: int) -> int:
    """The processes that decode images for each of `count` that train, which share the cores."""
    return max(1, (cpu_count() - 1) // count)


def has_gpu() -> bool:
    """Whether networks are trained on GPUs here."""
    if not may_have_gpu():
        return False
    from reslab.training.execution import hardware

    return hardware.choose_device().type == "cuda"


if __name__ == "__main__":
    errors.guard(lambda: main(Path(sys.argv[1])))
