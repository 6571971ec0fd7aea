"""The work of a job, `python -m reslab.grid.work FILE`: a network in a process of its own, or those of a GPU together."""

import json
import os
import sys
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from reslab import errors, stop
from reslab.environment import may_have_gpu
from reslab.errors import UserError
from reslab.grid.networks import PROGRESS, Network, ProgressFiles, write_told
from reslab.runs import processes
from reslab.runs.checksums import read_text
from reslab.runs.jobs import Job

WORK = "work.json"


def handed(network: Network) -> Path:
    """A file that says what `main` is to train."""
    path = network.folder.path / WORK
    write_told(path, asdict(network.job) | {"data": str(network.job.data)})
    return path


def main(file: Path) -> None:
    """Train the network that FILE tells of, or go on with it."""
    if not file.exists():
        raise UserError(f"{file}: not on this machine; the project must lie on a file system that all nodes share")
    try:
        told = json.loads(read_text(file))
        job = Job(**told | {"data": Path(told["data"])})
    except (ValueError, TypeError, LookupError, RecursionError) as error:
        raise UserError(f"{file}: damaged ({errors.first_line(error)}); `reslab train` writes it anew") from None
    processes.report_to(ProgressFiles())
    with stop.cooperating():
        train(job)


def train(job: Job) -> None:
    """Train a network; if it cannot be trained, its progress says so."""
    from reslab.weights import trained

    try:
        trained.train_in_processes(job)
    except Exception as error:
        with suppress(OSError, UserError):  # the disk may be full: then that is what is said
            Network(job).tell(PROGRESS, Network(job).told(PROGRESS) | {"doing": "failed", "why": errors.first_line(error)})
        raise


def train_here(job: Job) -> None:
    """Train a network in a process of a pool."""
    processes.report_to(ProgressFiles())
    train(job)


def train_on(bundle: "Bundle") -> None:
    """Train several networks on one GPU, together as far as they have room."""
    from reslab.runs.shared_gpu import run_together
    from reslab.training.execution import hardware
    from reslab.weights import trained

    processes.report_to(ProgressFiles())
    os.environ["RESLAB_DEVICE"] = bundle.device
    for _ in run_together(trained.train_network, list(bundle.jobs), device=hardware.choose_device(), most=bundle.at_once):
        pass


class Bundle:
    """The networks of one GPU."""

    def __init__(self, device: str, jobs: list[Job], at_once: int) -> None:
        self.device, self.jobs, self.at_once, self.seed = device, jobs, at_once, 0


def has_gpu() -> bool:
    """Whether networks are trained on GPUs here."""
    if not may_have_gpu():
        return False
    from reslab.training.execution import hardware

    return hardware.choose_device().type == "cuda"


if __name__ == "__main__":
    errors.guard(lambda: main(Path(sys.argv[1])))
