"""The dataset as preprocess stores it: the splits, as arrays or as files, with statistics and a checksum."""

import json
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakValueDictionary

import numpy as np

from reslab.data.prepared import arrays, files
from reslab.data.prepared.splits import AGAIN, Dataset, Files, Split
from reslab.errors import UserError, first_line
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
    return read_record(folder / FACTS, mend=AGAIN)
