"""Losses by name, `f(**options)` -> a function of logits (B, K) and labels (B,) that returns the batch mean."""

from torch import nn

from reslab.errors import UserError


def cross_entropy(*, label_smoothing: float = 0.0) -> nn.Module:
    """Cross entropy in nats; `label_smoothing` mixes the label with the uniform distribution (arXiv:1512.00567, section 7)."""
    if not 0 <= label_smoothing < 1:
        raise UserError(f"label_smoothing {label_smoothing} is not allowed: 0 to below 1")
    return nn.CrossEntropyLoss(label_smoothing=label_smoothing)


LOSSES = {
    "cross_entropy": cross_entropy,
}
