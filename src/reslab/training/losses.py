"""Losses by name, `f(**options)` -> a function of logits (B, K) and labels (B,) that returns the batch mean."""

from typing import Annotated

from pydantic import Field
from torch import nn


def cross_entropy(*, label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0) -> nn.Module:
    """Cross entropy in nats; `label_smoothing` mixes the label with the uniform distribution (arXiv:1512.00567, section 7)."""
    return nn.CrossEntropyLoss(label_smoothing=label_smoothing)


LOSSES = {
    "cross_entropy": cross_entropy,
}
