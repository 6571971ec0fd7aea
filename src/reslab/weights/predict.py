"""A network's answers to images: the one loop that makes the logits from which everything else is computed."""

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
from reslab.experiment.assemble import build_network, held_out
from reslab.report.predictions.file import Predictions
from reslab.training.evaluation import AVERAGES, Average, mean_probability
from reslab.training.precision import FLOAT32, Precision, forward
from reslab.weights.file import load_weights
from reslab.weights.network import StoredNetwork


@torch.no_grad()
def logits_of(
    model: nn.Module, feed: HeldOutBatches, *, precision: Precision = FLOAT32, average: Average = mean_probability
) -> np.ndarray:
    """Logits float32 (N, K) of a model in eval mode, in the images' order, the `average` where an image has several views."""
    model.eval()
    logits = [forward(model, images, precision).float() for images, _ in feed.batches()]
    return torch.cat([average(part) if part.dim() == 3 else part for part in logits]).cpu().numpy()


def predict_split(stored: StoredNetwork, split: Split, device: torch.device) -> Predictions:
    """The network's answers to images of its shape and classes, in the precision and with the crops of its training."""
    network = stored.precision.convert(build_network(stored.description["config"]["model"], stored.facts, seed=0))
    load_weights(stored.weights, network)
    network = network.to(device, memory_format=torch.channels_last)
    normalize = Normalize(**stored.description["normalization"], device=device, dtype=stored.precision.images)
    said = stored.description["config"].get("train", {}).get("evaluation")
    evaluation = schema.check(Evaluation, said or {}, "metadata.config.train.evaluation")
    feed, average = held_out(split, normalize, device, evaluation), AVERAGES[evaluation.average]
    logits = logits_of(network, feed, precision=stored.precision, average=average)
    return Predictions(logits, split.labels, stored.facts["class_names"])


def predict_held_out(stored: StoredNetwork, data: Prepared, device: torch.device) -> dict[str, Predictions]:
    """The network's answers to each held-out split of a dataset.

    Raises UserError if the dataset has images of another shape, or other classes.
    """
    for key in ("image_shape", "class_names"):
        if stored.facts[key] != data.facts[key]:
            raise UserError(f"{key} is {short(stored.facts[key])} in the network, {short(data.facts[key])} in the dataset")
    return {name: predict_split(stored, split, device) for name, split in data.held_out().items()}
