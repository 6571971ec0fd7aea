"""Networks that were not trained here: what is stored with their weights, with or without a prepared dataset."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from reslab.config.schema import bind, unknown
from reslab.data.datasets import DATASETS
from reslab.data.datasets.image_folder import ImageFolder
from reslab.data.normalize import Mean
from reslab.data.prepared import Prepared
from reslab.data.sizes import SIZES, source_name
from reslab.errors import UserError
from reslab.experiment.bound import BoundExperiment
from reslab.experiment.networks import INIT_FROM
from reslab.training.execution import hardware
from reslab.training.precision import FLOAT32
from reslab.weights import proof
from reslab.weights.network import RawPixelClassifier, StoredNetwork
from reslab.weights.predict import answers_of

FACTS = ("name", "image_shape", "class_names", "resize")
WRITTEN_OUT = ("published", "constants")  # normalisations that need no images


def facts_of(data: Prepared, class_names: list[str]) -> dict[str, Any]:
    """What is stored of a prepared dataset, the classes in the order of the network's outputs."""
    return {key: data.facts[key] for key in FACTS if key in data.facts} | {"class_names": class_names}


def facts_without_data(dataset: Mapping[str, Any], class_names: list[str], image: tuple[int, int, int] | None) -> dict[str, Any]:
    """The same from the study's `dataset` alone; `image` is channels, height, width where it does not say them.

    Raises UserError if the size of the images is not known.
    """
    facts: dict[str, Any] = {"name": dataset["name"], "class_names": class_names}
    if dataset["name"] in ("image_folder", "imagenet"):
        folder: ImageFolder = bind(DATASETS, dataset, "dataset")(Path())
        form = folder.form
        facts["image_shape"] = [form.channels, form.image_size, form.image_size]
        if folder.stored == "files":
            facts["resize"] = form.resize
    elif source_name(dataset) in SIZES:
        facts["image_shape"] = SIZES[source_name(dataset)]["image_shape"]
    if image is not None:
        facts["image_shape"] = list(image)
    if "image_shape" not in facts:
        raise UserError("the size of the images is not known; give --image CHANNELS HEIGHT WIDTH")
    return facts


def constants(experiment: BoundExperiment, data: Prepared | None, facts: Mapping) -> tuple[Mean, list[float]]:
    """Mean and std; raises UserError where they come from images and there are none."""
    if data is not None:
        return experiment.normalization(data)
    name = experiment.sections["normalize"]["name"]
    if name not in WRITTEN_OUT:
        raise UserError(
            f"normalize.name: {name} needs a prepared dataset, and there is none; give the constants that the network was trained"
            " with, normalize: {name: constants, mean: [...], std: [...]}, or one of {name: published, ...}"
        )
    mean, std = experiment.constants(facts)
    return mean, std


def description(experiment: BoundExperiment, facts: dict, mean: Mean, std: list[float]) -> dict[str, Any]:
    """What is stored with the weights: the part of a description that rebuilds the network."""
    return {
        "config": {"model": {key: value for key, value in experiment.sections["model"].items() if key != INIT_FROM}},
        "dataset": facts,
        "normalization": {"mean": mean, "std": std},
    }


def prove(
    network: nn.Module, described: dict, data: Prepared | None, *, reference: Path | None, expected_error: str | None, split: str
) -> dict[str, Any] | None:
    """Check that the network answers at all, and that it answers as it did elsewhere if there is something to compare with.

    Returns what is stored of the proof, None without one. Raises UserError if the answers are others.
    """
    classifier = RawPixelClassifier(network, **described["normalization"]).eval()
    check_answers(classifier, described["dataset"]["image_shape"])
    if reference is not None:
        return proof.by_logits(classifier, reference, described["dataset"]["image_shape"])
    if expected_error is None:
        return None
    proof.parse_error(expected_error)
    if data is None:
        raise UserError("--expected-error is measured on the prepared dataset, and there is none; run `dvc repro preprocess`")
    splits = data.held_out()
    if split not in splits:
        raise UserError(f"--split: {unknown(split, splits, 'split')}")
    device = hardware.choose_device()
    hardware.prepare(device, precision=FLOAT32.name, fast=False)
    stored = StoredNetwork(described, Path(), FLOAT32)
    (answers,) = answers_of([network.eval()], stored, splits[split], device, data.facts["class_names"])
    return proof.by_error(answers, expected_error, split)


@torch.no_grad()
def check_answers(classifier: RawPixelClassifier, image_shape: list[int]) -> None:
    """Raise UserError unless an image of random pixels gets finite logits."""
    pixels = torch.randint(256, (2, *image_shape), generator=torch.Generator().manual_seed(0)).float()
    if not classifier(pixels).isfinite().all():
        raise UserError("its answers to random pixels are not finite numbers")
