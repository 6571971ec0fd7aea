"""Checks of experiments before anything is trained."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from reslab.config import plugins
from reslab.config.study import Experiment, Study
from reslab.config.train import Train
from reslab.data import prepared
from reslab.data.batches.order import Order
from reslab.data.batches.placement import placed
from reslab.data.batches.training import TrainingBatches
from reslab.data.normalize import Normalize
from reslab.data.prepared.splits import Arrays
from reslab.data.prepared.statistics import check_validation
from reslab.data.sizes import is_known, size_facts, stored_as
from reslab.errors import UserError, located
from reslab.experiment.bound import BoundExperiment, bound
from reslab.experiment.networks import check_memory
from reslab.models.analysis.count import count, single_value_norms

DESCRIBED = 24  # bytes of a parameter where an experiment is described: weight, gradient and momentum in float64


def facts_before(study: Study, folder: Path) -> dict[str, Any] | None:
    """The facts of the study's dataset that `check` needs: from the prepared data in `folder`, else from its known size.

    None if neither is there. Raises UserError if the prepared data is damaged.
    """
    stored = prepared.load(folder).facts if folder.exists() else {}
    if stored.get("name") == study.dataset["name"]:
        return stored
    if not is_known(study.dataset):
        return None
    facts = size_facts(study.dataset, study.validation, folder)
    if "image_size" in study.dataset:  # a folder's images are resized to this
        facts["image_shape"] = [study.dataset.get("channels", 3), *[study.dataset["image_size"]] * 2]
    channels = facts["image_shape"][0]  # made-up statistics: only their number is checked
    return facts | {"mean": [0.5] * channels, "std": [0.2] * channels, "stored": stored_as(study.dataset)}


def check_study(study: Study, facts: dict) -> dict[str, BoundExperiment]:
    """Check what all experiments share, then each of them, and return them bound; raises UserError with the path."""
    check_validation(study.validation, facts["train"] + facts["validation"], len(facts["class_names"]))
    return {experiment.name: checked(experiment, facts) for experiment in study.experiments.values()}


def checked(experiment: Experiment, facts: dict) -> BoundExperiment:
    """The experiment bound, once all its parts have been built, the model on the meta device (no memory, no time).

    Raises UserError with the path.
    """
    made = bound(experiment)
    with located(f"experiments.{experiment.name}"):
        with torch.device("meta"):
            network = made.network(facts, seed=0)
        check_network(made, network, facts)
        check_parts(made, facts)
    return made


def check_network(experiment: BoundExperiment, network: nn.Module, facts: Mapping) -> dict[str, int]:
    """Run one image through the experiment's network; return its counts.

    Raises UserError if images or batches are too small, or the network too large for this machine.
    """
    check_memory(network, DESCRIBED)
    name = experiment.sections["model"]["name"]
    if plugins.is_own(name):
        with plugins.blamed("model", name):
            check_answers(network, name, facts)
    with located("model"):
        counts = count(network, tuple(facts["image_shape"]))
    if experiment.train.ghost_batch_size and experiment.sections["loss"].get("class_weights") is not None:
        raise UserError("loss.class_weights weighs the mean over a whole batch, and ghost_batch_size cuts it: give one of them")
    with located("train"):
        check_chunks(experiment.train, network, facts)
    return counts


def check_answers(network: nn.Module, name: str, facts: Mapping) -> None:
    """Raise UserError unless a network of one's own answers two images with logits (2, classes), while it trains and after."""
    device, classes = next(network.parameters()).device, len(facts["class_names"])
    kept = {key: value.clone() for key, value in network.state_dict().items()}
    for training in (True, False):
        with torch.no_grad():
            answer = network.train(training)(torch.zeros(2, *facts["image_shape"], device=device))
        if not isinstance(answer, torch.Tensor) or answer.shape != (2, classes):
            found = list(answer.shape) if isinstance(answer, torch.Tensor) else f"a {type(answer).__name__}"
            raise UserError(f"{name} must return logits of shape (images, classes), here [2, {classes}], not {found}")
    network.load_state_dict(kept)  # the statistics of batch norm as they were


def check_parts(experiment: BoundExperiment, facts: Mapping) -> None:
    """Make every part of a run but the network; raises UserError."""
    experiment.constants(facts)
    check_recipe(experiment, facts)
    check_stored(experiment, as_files=facts.get("stored") == "files")
    experiment.loss(torch.ones(len(facts["class_names"]), dtype=torch.int64))
    experiment.optimizer(nn.Linear(1, 1))
    experiment.schedule(experiment.budget(facts["train"]))


def smallest_chunk(train: Train, images: int) -> int:
    """The fewest images that batch norm sees at once in a run on `images` training images, 0 if there is no batch."""
    whole, tail = divmod(images, train.batch_size)
    batches = [train.batch_size] if whole else []
    if tail and not train.drop_last and train.steps(images) > whole:
        batches.append(tail)
    chunks = [(batch, min(train.ghost_batch_size or batch, batch)) for batch in batches]
    return min((batch % chunk or chunk for batch, chunk in chunks), default=0)


def check_chunks(train: Train, network: nn.Module, facts: Mapping) -> None:
    """Raise UserError if batch norm would get a single value of a channel to take the variance of."""
    images = facts["train"]
    if smallest_chunk(train, images) > 1 or (train.batch_norm and train.batch_norm.frozen):
        return
    if norms := single_value_norms(network, facts["image_shape"]):
        chunk = f" in chunks of {train.ghost_batch_size}" if train.ghost_batch_size else ""
        whole_only = train.drop_last or smallest_chunk(train.model_copy(update={"drop_last": True}), images) < 2
        mend = "another batch_size or ghost_batch_size" + ("" if whole_only else ", or drop_last: true")
        raise UserError(
            f"{images} images in batches of {train.batch_size}{chunk} leave one image alone, and batch norm {norms[0]} sees 1x1 "
            f"maps: one value has no variance; give {mend}"
        )


def check_stored(experiment: BoundExperiment, *, as_files: bool) -> None:
    """Raise UserError for a crop or a padding that images cannot have as they are stored."""
    if as_files:
        experiment.crop()
    evaluation = experiment.train.evaluation
    if evaluation is None or evaluation.crops == "single" or (evaluation.padding is None) == as_files:
        return
    if as_files:
        raise UserError("train.evaluation.padding is for images in memory: from files ten crops are cut out of the larger image")
    raise UserError("train.evaluation: ten crops of images in memory need `padding: ...`, such as that of pad_crop")


def check_recipe(experiment: BoundExperiment, facts: Mapping) -> None:
    """Make a batch of two blank images; raises UserError with the path of the step that cannot work on them."""
    steps, image_shape = experiment.recipe, facts["image_shape"]
    blank, cpu = Arrays(np.zeros((2, *image_shape), np.uint8), np.zeros(2, np.int64)), torch.device("cpu")
    normalize = Normalize([0.0] * image_shape[0], [1.0] * image_shape[0], device=cpu, dtype=torch.float32)
    next(TrainingBatches(placed(blank, Order(2, 2), cpu), steps, normalize).iterate(1))
    compares_views = experiment.sections["loss"]["name"] == "dual_cutout"
    if compares_views and (steps.finish.mixing is None or steps.finish.mixing[0] != "dual_cutout"):
        raise UserError("loss: dual_cutout compares two views of an image: end augment with {name: dual_cutout, size: ...}")
