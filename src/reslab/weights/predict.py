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
    first = networks[0]
    trained_with = first.description["config"].get("train", {}).get("evaluation")
    evaluation = schema.check(Evaluation, trained_with or {}, "metadata.config.train.evaluation")
    normalize = Normalize(**first.description["normalization"], device=device, dtype=first.precision.images)
    modules = [stored.network().to(device, memory_format=torch.channels_last) for stored in networks]
    batches, average = held_out(split, normalize, device, evaluation), AVERAGES[evaluation.average]
    found = logits_of(modules, batches, precision=first.precision, average=average)
    return [Predictions(logits, split.labels, first.facts["class_names"]) for logits in found]


def predict_held_out(networks: Sequence[StoredNetwork], data: Prepared, device: torch.device) -> list[dict[str, Predictions]]:
    """The networks' answers to each held-out split of a dataset.

    Raises UserError if the dataset has images of another shape or other classes, or if the networks are of several experiments.
    """
    for stored in networks:
        for key in ("image_shape", "class_names"):
            if stored.facts[key] != data.facts[key]:
                raise UserError(
                    f"{stored.weights}: {key} is {short(stored.facts[key])} in the network, {short(data.facts[key])} in the dataset"
                )
        for key in ("config", "normalization"):
            if stored.description[key] != networks[0].description[key]:
                raise UserError(f"{stored.weights}: not of the experiment of {networks[0].weights}: its {key} differs")
    found = {name: predict_split(networks, split, device) for name, split in data.held_out().items()}
    return [{name: answers[i] for name, answers in found.items()} for i in range(len(networks))]
