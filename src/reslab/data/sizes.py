"""Image shapes and counts of known datasets, for use before they are fetched."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reslab.errors import UserError

SIZES: dict[str, dict[str, Any]] = {  # images are (C, H, W)
    "digits": {"image_shape": [1, 8, 8], "classes": 10, "train": 1_437, "test": 360},
    "mnist": {"image_shape": [1, 28, 28], "classes": 10, "train": 60_000, "test": 10_000},
    "fashion_mnist": {"image_shape": [1, 28, 28], "classes": 10, "train": 60_000, "test": 10_000},
    "kmnist": {"image_shape": [1, 28, 28], "classes": 10, "train": 60_000, "test": 10_000},
    "cifar10": {"image_shape": [3, 32, 32], "classes": 10, "train": 50_000, "test": 10_000},
    "cifar100": {"image_shape": [3, 32, 32], "classes": 100, "train": 50_000, "test": 10_000},
    "imagenet": {"image_shape": [3, 224, 224], "classes": 1000, "train": 1_281_167, "test": 50_000},
    # A folder or archive of this name.
    "cifar10-jpeg": {"image_shape": [3, 32, 32], "classes": 10, "train": 50_000, "test": 10_000},
}

COMMONEST = {"digits": 37 / 360, "mnist": 0.1135}  # share of the commonest class of a test set whose classes differ in size


def commonest_share(dataset: Mapping) -> float:
    """The share of the commonest class among the test images of a known dataset; NaN for others."""
    name = source_name(dataset)
    return COMMONEST.get(name, 1 / SIZES[name]["classes"]) if name in SIZES else math.nan


def stored_as(dataset: Mapping) -> str:
    """Whether the images are kept as `pixels` in memory or as `files` that are decoded in each epoch."""
    return "files" if dataset["name"] == "imagenet" else dataset.get("stored", "pixels")


def is_known(dataset: Mapping) -> bool:
    """Whether the size of a dataset is known before it is fetched."""
    return source_name(dataset) in SIZES


def source_name(dataset: Mapping) -> str:
    """The name of a dataset; for a folder or archive of images and for a part of ImageNet, its file name."""
    name = dataset["name"]
    if name == "imagenet" and not dataset.get("complete", True):
        return f"a part of {name}"
    return Path(str(dataset.get("source"))).name.split(".")[0] if name == "image_folder" else name


def size_facts(dataset: Mapping, validation: int, folder: Path) -> dict[str, Any]:
    """The prepared dataset's facts that have no statistics: name, image_shape, class_names, train, validation, test.

    For a dataset of unknown size they come from the prepared data in `folder`; raises UserError if it is not there.
    """
    name = dataset["name"]
    known = SIZES.get(source_name(dataset))
    if known is not None:
        counts = {"train": known["train"] - validation, "validation": validation, "test": known["test"]}
        names = [str(number) for number in range(known["classes"])]
        return {"name": name, "image_shape": known["image_shape"], "class_names": names, **counts}
    from reslab.data.prepared import FACTS, read_facts  # numpy and more, for which a known dataset need not wait

    facts = read_facts(folder) if (folder / FACTS).exists() else {}
    if facts.get("name") != name:
        raise UserError(f"{folder}: {name} has not been prepared, and its size is not known in advance; run `dvc repro preprocess`")
    return facts
