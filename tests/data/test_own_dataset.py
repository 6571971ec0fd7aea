"""A dataset of one's own: two methods in plugins/, what they return is checked before it is stored."""

import sys
from itertools import count
from pathlib import Path

import pytest

from reslab.data import datasets
from reslab.errors import UserError

NUMBERS = count()
BARS = """
import numpy as np
from reslab.data.prepared.splits import Arrays, Dataset

class Bars:
    def __init__(self, raw, *, noise: float = 0.5):
        self.raw, self.noise = raw, noise
    def fetch(self):
        (self.raw / "bars.txt").write_text(str(self.noise))
    def read(self):
        images, labels = np.zeros((12, 1, 8, 8), np.uint8), np.arange(12) % 2
        return Dataset(Arrays(images[:8], labels[:8]), Arrays(images[8:], labels[8:]), ["row", "column"])
"""


@pytest.fixture
def make(tmp_path, monkeypatch):
    """The dataset of a plugin's source."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "plugins").mkdir()

    def made(source: str, **options):
        name = f"data{next(NUMBERS)}"
        (tmp_path / "plugins" / f"{name}.py").write_text(source)
        return datasets.bound({"name": f"{name}:Bars"} | options, "dataset")(Path("raw"))

    return made


def test_it_is_fetched_and_read(make, tmp_path):
    found = make(BARS, noise=0.25)
    found.fetch()
    assert (tmp_path / "raw" / "bars.txt").read_text() == "0.25"
    assert len(found.read().train) == 8


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("def read", "def reed", "has no method read"),
        ("np.uint8", "np.float32", r"train: images must be a numpy array uint8 \(N, C, H, W\), not float32 \(8, 1, 8, 8\)"),
        ("% 2", "% 3", "train: labels from 0 to 2, but the 2 classes are 0 to 1"),
        ("np.arange(12) % 2", "[0, 1] * 6", "train: labels must be a numpy array int64"),
        ("labels[8:]", "labels[9:]", "test: 4 images and 3 labels"),
        ('["row", "column"]', '["row", "row"]', "class_names must be a list of different texts"),
        ("return Dataset(", "return list((", "class_names must|must return a reslab.data.prepared.splits.Dataset, not a list"),
        ("images, labels = ", "images, labels = 1 / 0, ", "Bars.read failed: plugins/data.*.py, line 11: ZeroDivisionError"),
        ("str(self.noise)", "self.noise", "Bars.fetch failed: plugins/data.*.py, line 9: TypeError"),
    ],
)
def test_its_faults_are_one_line(make, old, new, said):
    source = BARS.replace(old, new)
    source = source.replace('["row", "column"])', '["row", "column"]))') if "list((" in new else source
    with pytest.raises(UserError, match=said) as raised:
        found = make(source)
        found.fetch()
        found.read()
    assert len(str(raised.value).splitlines()) == 1
