"""The answers of stored networks to images: the one loop that makes the logits from which every score is computed."""

from collections.abc import Sequence
from reprlib import repr as short

import numpy as np
import torch
from torch import nn

from reslab.config import schema
from reslab.config.train import Evaluation
from reslab.data.batches.held_out import HeldOutBatches
from reslab.data.normalize import Normalize
from reslab.data.prepared import Prepared
from reslab.data.prepared.splits import Split
from reslab.errors import UserError
from reslab.experiment.assemble import held_out
from reslab.report.predictions import Predictions
from reslab.training.evaluation import AVERAGES, Average, mean_probability
from reslab.training.precision import FLOAT32, Precision, forward
from reslab.weights.network import StoredNetwork
from reslab.weights.outputs import columns


@torch.no_grad()
def logits_of(
    networks: Sequence[nn.Module], batches: HeldOutBatches, *, precision: Precision = FLOAT32, average: Average = mean_probability
) -> list[np.ndarray]:
    """Each network's logits float32 (N, K) in the images' order, from one pass over the images.

    The networks are put into eval mode. Where an image has several views, the `average` of the logits of all views.
    """
    for network in networks:
        network.eval()
    found: list[list[torch.Tensor]] = [[] for _ in networks]
    for images, _ in batches.iterate():
        for network, logits in zip(networks, found, strict=True):
            answers = forward(network, images, precision).float()
            logits.append(average(answers) if answers.dim() == 3 else answers)
    return [torch.cat(logits).cpu().numpy() for logits in found]


def predict_split(networks: Sequence[StoredNetwork], split: Split, device: torch.device) -> list[Predictions]:
    """The networks' answers to images of their shape and classes, in the precision and with the crops of their training.

    They must be seeds of one experiment: they see the same normalised images.
    """
    return answers_of([stored.network() for stored in networks], networks[0], split, device, networks[0].facts["class_names"])


def answers_of(
    modules: Sequence[nn.Module], stored: StoredNetwork, split: Split, device: torch.device, class_names: Sequence[str]
) -> list[Predictions]:
    """The answers of networks that are alike but for their weights; the split's labels count `class_names`.

    The logits are put into that order: an imported network may have its outputs in another one.
    """
    said = stored.description["config"].get("train", {}).get("evaluation")
    evaluation = schema.check(Evaluation, said or {}, "metadata.config.train.evaluation")
    normalize = Normalize(**stored.description["normalization"], device=device, dtype=stored.precision.images)
    modules = [module.to(device, memory_format=torch.channels_last) for module in modules]
    batches, average = held_out(split, normalize, device, evaluation), AVERAGES[evaluation.average]
    found = logits_of(modules, batches, precision=stored.precision, average=average)
    order = columns(stored.facts["class_names"], class_names)
    found = found if order is None else [logits[:, order] for logits in found]
    return [Predictions(logits, split.labels, list(class_names)) for logits in found]


def predict_held_out(networks: Sequence[StoredNetwork], data: Prepared, device: torch.device) -> list[dict[str, Predictions]]:
    """The networks' answers to each held-out split of a dataset.

    Raises UserError if the dataset has images of another shape or other classes, or if the networks are of several experiments.
    """
    names, first = data.facts["class_names"], networks[0]
    for stored in networks:
        if stored.facts["image_shape"] != data.facts["image_shape"]:
            raise _other(stored, data, "image_shape")
        theirs = stored.facts["class_names"]
        if sorted(theirs) != sorted(names) or theirs != first.facts["class_names"]:
            raise _other(stored, data, "class_names")
        for key in ("config", "normalization"):
            if stored.description[key] != first.description[key]:
                raise UserError(f"{stored.weights}: not of the experiment of {first.weights}: its {key} differs")
    modules = [stored.network() for stored in networks]
    found = {name: answers_of(modules, first, split, device, names) for name, split in data.held_out().items()}
    return [{name: answers[i] for name, answers in found.items()} for i in range(len(networks))]


def _other(stored: StoredNetwork, data: Prepared, key: str) -> UserError:
    return UserError(
        f"{stored.weights}: {key} is {short(stored.facts[key])} in the network, {short(data.facts[key])} in the dataset"
    )
