"""The dataset as preprocess stores it: the splits, as arrays or as files, with statistics and a checksum."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import numpy as np

from reslab.data.prepared import arrays, files
from reslab.data.prepared.splits import AGAIN, Dataset, Files, Split
from reslab.errors import UserError, first_line, shown
from reslab.runs.records import read_record, write_record
from reslab.storage import writes

FACTS = "dataset.json"


@dataclass(frozen=True)
class Prepared:
    """The stored dataset: `validation` is what was held out of the training images (None without one)."""

    train: Split
    validation: Split | None
    test: Split
    facts: dict  # name, class_names, shape, counts, mean and std per channel in [0, 1], checksum

    def held_out(self) -> dict[str, Split]:
        """The splits that are only evaluated, by name."""
        return {"test": self.test} | ({"validation": self.validation} if self.validation else {})

    def mean_image(self) -> np.ndarray:
        """Mean of each pixel of the images that train, float64 (C, H, W) in [0, 1], exact (from integer sums).

        Not among the facts: only `normalize: {name: mean_image}` needs it, and it would be thousands of numbers.
        """
        return self.train.mean_image()


_IN_USE: WeakValueDictionary[tuple[Path, str], Prepared] = WeakValueDictionary()  # networks that share a process share images


@writes
def save(dataset: Dataset, folder: Path, *, name: str, validation: int, workers: int = 1) -> dict:
    """Split, measure and store a dataset, files in `workers` processes; return its facts.

    The validation split is drawn once, stratified by class, with a fixed seed, and stored as indices: the same number
    always holds out the same images. Raises UserError if it leaves no image of some class to train on.
    """
    if isinstance(dataset.train, Files):
        found = files.save(dataset, folder, validation=validation, workers=workers)
    else:
        found = arrays.save(dataset, folder, validation=validation)
    facts = {"name": name, "class_names": dataset.class_names} | found | dataset.found
    write_record(folder / FACTS, facts)
    return facts


def load(folder: Path) -> Prepared:
    """Read what `save` stored, and verify it: all of arrays; of files the index, and each image when it is decoded.

    What this process has in use already is not kept twice. Raises UserError if something is missing or damaged.
    """
    facts = read_facts(folder)
    try:
        splits = files.load(folder, facts) if facts.get("stored") == "files" else arrays.load(folder, facts)
    except (OSError, EOFError, KeyError, ValueError) as error:
        raise UserError(f"{folder}: prepared data missing or damaged ({first_line(error)}); {AGAIN}") from None
    return _IN_USE.setdefault((folder.resolve(), json.dumps(facts, sort_keys=True)), Prepared(**splits, facts=facts))


def read_facts(folder: Path) -> dict:
    """What is known of the dataset in a folder; raises UserError if it is missing or damaged."""
    if not (folder / FACTS).is_file():
        raise UserError(f"{folder}: prepared data missing or damaged (no {FACTS}); run `dvc repro preprocess`")
    facts = read_record(folder / FACTS, mend=AGAIN)
    for key, fits in KINDS.items():
        if key in facts and not fits(facts[key]):
            raise UserError(f"{folder / FACTS}: damaged ({key} is {shown(facts[key])}); {AGAIN}")
    return facts


def _is_count(value: Any, least: int = 0) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _are(kind: type) -> Callable[[Any], bool]:
    return lambda values: isinstance(values, list) and values != [] and all(type(value) is kind for value in values)


KINDS: dict[str, Callable[[Any], bool]] = {  # the checksum of an edited file may be right
    **dict.fromkeys(("train", "validation", "test"), _is_count),
    "image_shape": lambda shape: _are(int)(shape) and len(shape) == 3 and all(_is_count(side, least=1) for side in shape),
    "class_names": _are(str),
    **dict.fromkeys(("mean", "std"), _are(float)),
    "files": lambda files: isinstance(files, dict),
}
