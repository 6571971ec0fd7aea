"""Counting a network: parameters, multiply-adds, layers, receptive field."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils._python_dispatch import TorchDispatchMode

from reslab.errors import UserError, first_line


class Reach(NamedTuple):
    """The receptive field of a feature: its side, and the distance between those of neighbouring features, in pixels."""

    field: int = 1
    stride: int = 1

    def through(self, kernel: int, stride: int) -> "Reach":
        """The reach of a feature after a window of `kernel` at `stride`."""
        return Reach(self.field + (kernel - 1) * self.stride, self.stride * stride)


class MultiplyAdds(TorchDispatchMode):
    """The multiply-adds, in convolutions and matrix products, under it."""

    def __init__(self) -> None:
        super().__init__()
        self.multiply_adds = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # nothing is compiled under it; otherwise torch loads its compiler to find out

    def __torch_dispatch__(self, function: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        outputs = _known_outputs(function.overloadpacket.__name__, args)
        if outputs is None:
            outputs = function(*args, **(kwargs or {}))
        self.multiply_adds += _multiply_adds(function.overloadpacket, args, kwargs or {}, outputs)
        return outputs


def _known_outputs(name: str, args: tuple) -> Tensor | tuple[Tensor, ...] | None:
    """What batch norm, ReLU and sums return on the meta device, where torch would trace each: most of the time of a count."""
    if name not in ("native_batch_norm", "relu", "add") or not args[0].is_meta:
        return None
    if name == "native_batch_norm":
        statistics = args[0].new_empty(args[0].shape[1] if args[5] else 0)  # none without training
        return torch.empty_like(args[0]), statistics, torch.empty_like(statistics)
    if name == "add" and not (isinstance(args[1], Tensor) and args[1].shape == args[0].shape and args[1].dtype == args[0].dtype):
        return None
    return torch.empty_like(args[0])


def _multiply_adds(operation: Any, args: tuple, kwargs: dict, outputs: Any) -> int:
    """Those of one operation. Torch's table has more operations, but it takes Triton along, a third of a second to load."""
    name = operation.__name__
    if name == "convolution" and not args[6]:  # not transposed
        return outputs.numel() * args[1][0].numel()
    if name in ("mm", "bmm"):
        return args[0].numel() * args[1].shape[-1]
    if name == "addmm":
        return args[1].numel() * args[2].shape[-1]
    if any(part in name for part in ("conv", "mm", "attention")):
        from torch.utils.flop_counter import flop_registry

        if operation in flop_registry:
            return flop_registry[operation](*args, **kwargs, out_val=outputs) // 2  # it counts two operations each
    return 0


class ReceptiveField(MultiplyAdds):
    """Follow the receptive field through every operation; where paths meet, the widest counts.

    `last` is that of the last feature map: (B, C, H, W) before pooling over the whole image or flattening.
    """

    def __init__(self) -> None:
        super().__init__()
        self.reach: dict[int, Reach] = {}
        self.kept: list[Tensor] = []  # so that no id is used twice
        self.last = Reach()

    def __torch_dispatch__(self, function: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        outputs = super().__torch_dispatch__(function, types, args, kwargs)
        inputs = [self.reach.get(id(tensor), Reach()) for tensor in _images(args)]
        if inputs:
            reach = max(inputs).through(*_window(function, args))
            for tensor in _images(outputs if isinstance(outputs, tuple | list) else [outputs]):
                self.reach[id(tensor)] = self.last = reach
                self.kept.append(tensor)
        return outputs


def _images(values: Any) -> list[Tensor]:
    """The (B, C, H, W) tensors among the values, also in lists; weights do not count."""
    found = []
    for value in values:
        if isinstance(value, list | tuple):
            found += _images(value)
        elif isinstance(value, Tensor) and value.dim() == 4 and not isinstance(value, nn.Parameter):
            found.append(value)
    return found


def _window(function: Any, args: tuple) -> tuple[int, int]:
    """Kernel and stride of an operation along the image's height."""
    name = function.overloadpacket.__name__
    if name == "convolution":
        return args[1].shape[2], args[3][0]
    if name in ("max_pool2d_with_indices", "avg_pool2d"):
        return args[1][0], (args[2] if len(args) > 2 and args[2] else args[1])[0]  # without a stride the kernel is the stride
    if name == "slice" and args[1] == 2 and len(args) > 4:
        return 1, args[4]
    return 1, 1


def count(model: nn.Module, image_shape: tuple[int, int, int]) -> dict[str, int]:
    """Trainable parameters, multiply-adds of one image (C, H, W), layers used, receptive field and stride of the last feature map.

    On the meta device this computes nothing. The receptive field, in pixels, is the theoretical one of the deepest path.
    Raises UserError for an image that is too small for the network.
    """
    device = next(model.parameters()).device
    receptive = ReceptiveField()
    try:
        with torch.no_grad(), receptive:
            model.eval()(torch.empty(1, *image_shape, device=device))
    except RuntimeError as error:
        raise UserError(f"this network cannot take {'x'.join(map(str, image_shape))} images ({first_line(error)})") from error
    layers = list(model.modules())
    return {
        "parameters": sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad),
        "multiply_adds": receptive.multiply_adds,
        "conv_layers": sum(isinstance(layer, nn.Conv2d) for layer in layers),
        "batch_norm_layers": sum(isinstance(layer, nn.BatchNorm2d) for layer in layers),
        "receptive_field": receptive.last.field,
        "output_stride": receptive.last.stride,
    }


def single_value_norms(model: nn.Module, image_shape: Sequence[int]) -> list[str]:
    """The names of the batch norms that see a map of 1x1: of one image that is one value a channel, which has no variance."""
    device, found = next(model.parameters()).device, []
    handles = [
        module.register_forward_pre_hook(lambda _, inputs, name=name: found.append(name) if inputs[0][0, 0].numel() == 1 else None)
        for name, module in model.named_modules()
        if isinstance(module, _BatchNorm)
    ]
    with torch.no_grad():
        model.eval()(torch.empty(1, *image_shape, device=device))
    for handle in handles:
        handle.remove()
    return found
