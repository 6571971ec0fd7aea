"""A network's answers to images: the one loop that makes the logits from which everything else is computed."""

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn

from reslab.training.precision import FLOAT32, Precision, forward


@torch.no_grad()
def logits_of(model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], *, precision: Precision = FLOAT32) -> np.ndarray:
    """Logits float32 (N, K) of a model in eval mode, in the images' order."""
    model.eval()
    logits = [forward(model, images, precision).float() for images, _ in batches]
    return torch.cat(logits).cpu().numpy()
