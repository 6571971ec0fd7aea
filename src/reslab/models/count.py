"""Counting a network: parameters, multiply-adds, layers."""

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def count(model: nn.Module, image_shape: tuple[int, int, int]) -> dict[str, int]:
    """Trainable parameters, multiply-adds of one image (C, H, W) in convolutions and matrix products, and layers used.

    Multiply-adds come from torch's own counter (which counts two operations each); run it on the meta device to cost nothing.
    """
    device = next(model.parameters()).device
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        model.eval()(torch.empty(1, *image_shape, device=device))
    layers = list(model.modules())
    return {
        "parameters": sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad),
        "multiply_adds": counter.get_total_flops() // 2,
        "conv_layers": sum(isinstance(layer, nn.Conv2d) for layer in layers),
        "batch_norm_layers": sum(isinstance(layer, nn.BatchNorm2d) for layer in layers),
    }
