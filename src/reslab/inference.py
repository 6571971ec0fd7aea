"""A network's answers to images: the one loop that makes the logits from which everything else is computed."""

import numpy as np
import torch
from torch import nn

from reslab.data.feed import HeldOut
from reslab.training.evaluation import Average, mean_probability
from reslab.training.precision import FLOAT32, Precision, forward


@torch.no_grad()
def logits_of(
    model: nn.Module, feed: HeldOut, *, precision: Precision = FLOAT32, average: Average = mean_probability
) -> np.ndarray:
    """Logits float32 (N, K) of a model in eval mode, in the images' order, the `average` where an image has several views."""
    model.eval()
    logits = [forward(model, images, precision).float() for images, _ in feed.batches()]
    return torch.cat([average(part) if part.dim() == 3 else part for part in logits]).cpu().numpy()
