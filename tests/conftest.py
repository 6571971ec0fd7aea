"""Shared by all tests: no DVC environment leaks in, one CPU thread, MLflow store per session."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from browser import CHROMIUM, Browser
from project import SMALL_PARAMS, call, clone, commit

from reslab.data.prepared.splits import Arrays, Dataset

REPOSITORY = Path(__file__).resolve().parents[1]

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    """A test run inside a DVC stage must not write into the outer project."""
    for name in list(os.environ):
        if name.startswith(("DVC_", "RESLAB_", "MLFLOW_")) and name != "RESLAB_DATASETS":
            monkeypatch.delenv(name)


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
def trained(tmp_path_factory) -> Path:
    """A fresh clone of the small study after `dvc repro`, committed; tests copy it."""
    folder = clone(tmp_path_factory.mktemp("small") / "reslab", SMALL_PARAMS)
    call(folder, "dvc", "repro")
    commit(folder, "results")
    return folder


@pytest.fixture
def project(trained, tmp_path) -> Path:
    """A copy of the trained small study, to change at will."""
    folder = tmp_path / "reslab"
    shutil.copytree(trained, folder, symlinks=True)
    return folder
