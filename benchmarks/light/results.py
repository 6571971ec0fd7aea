"""Real results in the time that is left: networks of several experiments share the GPU; a network that was begun goes on."""

import gzip
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

import reslab
from light.rows import Recorder
from reslab import git, stop
from reslab.config import library
from reslab.config.study import Study, parse
from reslab.data import prepared
from reslab.data.datasets.downloads import UNPACKED_MD5
from reslab.data.datasets.image_folder import ImageFolder
from reslab.data.prepared.splits import Arrays, Dataset
from reslab.errors import UserError
from reslab.experiment.description import description
from reslab.runs.folders import SeedFolder
from reslab.runs.identity import identity
from reslab.runs.jobs import Job
from reslab.runs.records import read_record
from reslab.runs.shared_gpu import MOST, run_together

STUDIES = Path(__file__).resolve().parents[2] / "studies"
KEPT = ("test_loss", "test_error", "seconds", "at_once", "engine", "device", "precision", "torch")


@dataclass(frozen=True)
class Group:
    """Experiments of a study whose networks, with all seeds, train at once."""

    study: str
    experiments: tuple[str, ...]
    seeds: int = 5


GROUPS = (  # the most useful first
    Group("cifar10-jpeg-tau", ("resnet020-plain-tau", "resnet020-own-tau")),
    Group("hysts-mnist", ("preact20",)),
    Group("cifar10-jpeg-tau", ("resnet110-plain-tau", "resnet110-own-tau")),
    Group("cifar10-jpeg-tau", ("resnet056-plain-tau", "resnet056-own-tau")),
)


def results(say: Recorder, folder: str) -> None:
    """Train the groups one after the other on the images in the folder; a row for each network that is finished."""
    from reslab.training.execution import hardware
    from reslab.weights.trained import train_network

    os.environ.setdefault("DVC_ROOT", str(say.out))  # where checkpoints/ is
    device, sources = hardware.choose_device(), Path(folder)
    with stop.listening():
        for group in GROUPS[:1] if say.dry else GROUPS:
            study = parse(library.compose(group.study, STUDIES))
            images = SOURCES[study.dataset["name"]](study, sources, say.out / "data")
            jobs = list(_jobs(study, group, images))
            began, names = time.monotonic(), ", ".join(group.experiments)
            say(study=group.study, experiments=names, networks=len(jobs), already_finished=sum(map(_is_finished, jobs)))
            train = train_network if not say.dry else partial(_without_numbers, train_network)
            with stop.cooperating():
                for job in run_together(train, [job for job in jobs if not _is_finished(job)], device=device):
                    record = read_record(SeedFolder.of(job.identity, job.seed).finished / "record.json")
                    kept = {key: record.get(key) for key in KEPT}
                    say(study=group.study, experiment=job.experiment, seed=job.seed, **kept)
            say(study=group.study, experiments=names, wall_s=round(time.monotonic() - began, 1))


def _without_numbers(train: Callable, job: Job, take_turn: Callable[[], None]) -> None:
    """Train on the stand-in, where no comparison of numbers means anything."""
    from reslab.training.execution import levels

    levels.check_agreement = lambda *sides: None
    train(job, take_turn)


def _jobs(study: Study, group: Group, images: Path) -> Iterator[Job]:
    """The networks of a group, seed by seed."""
    data, code = prepared.load(images), git.commit_state()
    described = {name: description(study.experiment(name), data) for name in group.experiments}
    at_once = min(MOST, len(described) * group.seeds)
    for seed in range(group.seeds):
        for name, facts in described.items():
            yield Job(name, facts, identity(facts, Path(reslab.__path__[0], "training")), seed, images, code, at_once)


def _is_finished(job: Job) -> bool:
    return SeedFolder.of(job.identity, job.seed).finished.exists()


def _jpegs(study: Study, sources: Path, into: Path) -> Path:
    """The JPEG copy of CIFAR-10, decoded."""
    target = into / "cifar10-jpeg"
    if not target.exists():
        options = {key: value for key, value in study.dataset.items() if key not in ("name", "source")}
        images = ImageFolder(into / "raw", source=str(sources / "cifar10-jpeg.tar.xz"), **options)
        images.fetch()
        prepared.save(images.read(), target, name="image_folder", validation=0)
    return target


def _mnist(study: Study, sources: Path, into: Path) -> Path:
    """MNIST from its four files, which torchvision would read to the same arrays."""
    target = into / "mnist"
    if not target.exists():
        files = {name: _unpacked(sources / "mnist" / f"{name}.gz", md5) for name, md5 in UNPACKED_MD5["mnist"].items()}
        splits = [
            Arrays(
                np.frombuffer(files[f"{name}-images-idx3-ubyte"], np.uint8, offset=16).reshape(-1, 1, 28, 28),
                np.frombuffer(files[f"{name}-labels-idx1-ubyte"], np.uint8, offset=8).astype(np.int64),
            )
            for name in ("train", "t10k")
        ]
        names = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
        classes = [f"{digit} - {name}" for digit, name in enumerate(names)]  # torchvision's, which the description contains
        prepared.save(Dataset(*splits, class_names=classes), target, name="mnist", validation=0)
    return target


def _unpacked(path: Path, md5: str) -> bytes:
    """The content of a packed file; raises UserError if it is not the published one."""
    content = gzip.decompress(path.read_bytes())
    if hashlib.md5(content).hexdigest() != md5:
        raise UserError(f"{path}: is not MNIST's: its checksum differs")
    return content


SOURCES = {"image_folder": _jpegs, "mnist": _mnist}
