"""Shared by all tests: no DVC environment leaks in, one CPU thread, one trained study for all workers."""

import os
import tarfile
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from browser import CHROMIUM, Browser
from order import dealt
from project import SMALL_PARAMS, built_once, call, clone, commit, copy

from reslab.data.prepared.splits import Arrays, Dataset

REPOSITORY = Path(__file__).resolve().parents[1]
PIPELINE = Path(__file__).parent / "pipeline"

torch.set_num_threads(1)
BEFORE = dict(os.environ)  # of all tests


def pytest_collection_modifyitems(config, items):
    """Mark what runs the pipeline, and run it first, slow tests before all: a worker that is done takes from the end of a list."""
    for item in items:
        if PIPELINE in item.path.parents or "trained" in item.fixturenames:
            item.add_marker(pytest.mark.pipeline)
        if item.get_closest_marker("exhaustive") and not os.environ.get("RESLAB_EXHAUSTIVE"):
            item.add_marker(pytest.mark.skip(reason="takes half an hour: set RESLAB_EXHAUSTIVE=1, or `make test-exhaustive`"))
    workers = getattr(config, "workerinput", {}).get("workercount", 1)
    items[:] = dealt(items, workers, rank=_rank, file=lambda item: item.path)


def pytest_collection_finish():
    """Libraries that test files import set variables; a command of another environment than the loaded one's loads its own."""
    _put_back(BEFORE)


def _put_back(environment):
    for name in os.environ.keys() - environment.keys():
        del os.environ[name]
    os.environ.update(environment)


def _rank(item) -> int:
    """0 for the tests that take longest, 3 for those that take no time."""
    return 2 * (item.get_closest_marker("pipeline") is None) + (item.get_closest_marker("slow") is None)


@pytest.fixture(scope="module", autouse=True)
def environment_of_the_module():
    """What the fixtures of a module set is not there for the next: some train a network, and `hardware.prepare` sets variables."""
    before = dict(os.environ)
    yield
    _put_back(before)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    """A test run inside a DVC stage must not write into the outer project; what a test sets is not there for the next."""
    before = dict(os.environ)
    for name in before:
        if name.startswith(("DVC_", "RESLAB_", "MLFLOW_")) and name not in ("RESLAB_DATASETS", "RESLAB_EXHAUSTIVE"):
            monkeypatch.delenv(name)
    yield
    _put_back(before)


@pytest.fixture
def repository() -> Path:
    return REPOSITORY


@pytest.fixture(scope="session")
def local_data() -> Path:
    """Real MNIST and CIFAR-10 files, where this machine has them."""
    folder = Path(os.environ.get("RESLAB_DATASETS", REPOSITORY.parent / "shared" / "datasets"))
    if not folder.is_dir():
        pytest.skip("no local MNIST and CIFAR-10 files: set RESLAB_DATASETS to their folder")
    return folder


@pytest.fixture(scope="session")
def browser(tmp_path_factory) -> Browser:
    """Chromium, where this machine has it."""
    if CHROMIUM is None:
        pytest.skip("no chromium, chromium-browser or google-chrome on this machine")
    return Browser(tmp_path_factory.mktemp("browser"))


@pytest.fixture
def small_images() -> Dataset:
    """40 + 12 random images of 3x8x8 in 4 classes."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (52, 3, 8, 8), dtype=np.uint8)
    labels = np.arange(52, dtype=np.int64) % 4
    return Dataset(Arrays(images[:40], labels[:40]), Arrays(images[40:], labels[40:]), ["a", "b", "c", "d"])


@pytest.fixture(scope="session")
def shared(tmp_path_factory, request) -> Path:
    """A folder of this session that all workers see."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if hasattr(request.config, "workerinput") else own


@pytest.fixture(scope="session")
def some_jpegs(local_data, shared) -> Path:
    """A tenth of CIFAR-10's JPEGs, as an archive."""

    def build(path: Path) -> None:
        with tarfile.open(local_data / "cifar10-jpeg.tar.xz") as whole, tarfile.open(path, "w") as part:
            images = (member for member in whole if member.isfile())
            for member in islice(images, 0, None, 10):
                part.addfile(member, whole.extractfile(member))

    return built_once(shared / "jpegs" / "some.tar", build)


@pytest.fixture(scope="session")
def trained(shared) -> Path:
    """A fresh clone of the small study after `dvc repro`, committed. All tests share it: read it only, or change a copy."""

    def build(folder: Path) -> None:
        clone(folder, SMALL_PARAMS)
        call(folder, "dvc", "repro")
        commit(folder, "results")

    return built_once(shared / "small" / "reslab", build)


@pytest.fixture
def project(trained, tmp_path) -> Path:
    """A copy of the trained small study, to change at will."""
    return copy(trained, tmp_path / "reslab")
