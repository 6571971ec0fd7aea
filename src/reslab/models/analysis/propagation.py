"""How signals pass through a network: each 3x3 layer's response, the residual stream's norm, and the gradients of both.

Sources: He et al. 2015, arXiv:1512.03385, Fig. 7 (responses); Zhang et al., arXiv:1903.07120 (norms against depth).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm


@dataclass(frozen=True)
class Layer:
    """One 3x3 convolution in the order of computation, the first is 1; stage 0 is what comes before the stages."""

    layer: int
    name: str
    stage: int
    response_std: float  # of all its outputs: after batch norm, before nonlinearity or addition
    weight_gradient: float  # norm, of the mean loss


@dataclass(frozen=True)
class Point:
    """The stream after a block, 0 for what the first block takes; norms are root mean squares over images."""

    block: int
    stage: int
    norm: float
    gradient: float  # of each image's own loss (with batch norm: of the batch's summed loss), with respect to the stream


@dataclass(frozen=True)
class Signals:
    """The measurements of one network on one batch."""

    layers: list[Layer]
    stream: list[Point]


@dataclass
class _Heard:
    """The records of the hooks during one pass."""

    convs: list[tuple[str, nn.Conv2d]] = field(default_factory=list)
    responses: list[Tensor] = field(default_factory=list)
    stream: list[tuple[int, Tensor]] = field(default_factory=list)  # stage, (B, C, H, W)

    def conv(self, name: str) -> Callable:
        """A hook that keeps the output of a convolution."""

        def hook(module: nn.Conv2d, inputs: tuple, output: Tensor) -> None:
            self.convs.append((name, module))
            self.responses.append(output)

        return hook

    def batch_norm(self, module: nn.Module, inputs: tuple, output: Tensor) -> None:
        """Where batch norm takes a convolution's output itself, the response is what batch norm makes of it."""
        for position, response in enumerate(self.responses):
            if response is inputs[0]:
                self.responses[position] = output

    def point(self, stage: int, tensor: Tensor) -> None:
        """Keep a point of the stream, with its gradient."""
        tensor.retain_grad()
        self.stream.append((stage, tensor))


@contextmanager
def _listening(network: nn.Module) -> Iterator[_Heard]:
    """Hooks on every 3x3 convolution, batch norm and block while the network runs."""
    heard = _Heard()
    handles = []
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3):
            handles.append(module.register_forward_hook(heard.conv(name)))
        elif isinstance(module, _BatchNorm):
            handles.append(module.register_forward_hook(heard.batch_norm))
    blocks = [(stage, block) for stage, content in enumerate(network.stages, start=1) for block in content]
    handles.append(blocks[0][1].register_forward_pre_hook(lambda module, inputs: heard.point(0, inputs[0])))
    for stage, block in blocks:
        handles.append(block.register_forward_hook(lambda module, inputs, output, stage=stage: heard.point(stage, output)))
    try:
        yield heard
    finally:
        for handle in handles:
            handle.remove()


def measure(network: nn.Module, images: Tensor, labels: Tensor) -> Signals:
    """Run a batch forward and back and measure; `network.stages` holds lists of blocks, as in every family here.

    images (B, C, H, W) normalised, in the network's number format; labels (B,). Batch norm takes the batch's statistics,
    before and after training, and its running ones do not change; layers that draw do not, as in evaluation.
    """
    with _batch_statistics(network), _listening(network) as heard:
        images = images.detach().requires_grad_()  # the stream of a network without a stem starts with them
        F.cross_entropy(network(images), labels, reduction="sum").backward()
    layers = [
        Layer(
            layer=position,
            name=name,
            stage=stage_of(name),
            response_std=response.detach().std(correction=0).item(),
            weight_gradient=module.weight.grad.norm().item() / len(labels),
        )
        for position, ((name, module), response) in enumerate(zip(heard.convs, heard.responses, strict=True), start=1)
    ]
    stream = [
        Point(block=block, stage=stage, norm=image_norm(tensor), gradient=image_norm(tensor.grad))
        for block, (stage, tensor) in enumerate(heard.stream)
    ]
    network.zero_grad(set_to_none=True)
    return Signals(layers, stream)


@contextmanager
def _batch_statistics(network: nn.Module) -> Iterator[None]:
    """Evaluation mode, but batch norm uses the batch and leaves its buffers as they are."""
    network.eval()
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    tracked = [module.track_running_stats for module in norms]
    for module in norms:
        module.train()
        module.track_running_stats = False  # in training mode: the batch's statistics, nothing stored
    try:
        yield
    finally:
        for module, track in zip(norms, tracked, strict=True):
            module.track_running_stats = track
            module.eval()


def stage_of(name: str) -> int:
    """The stage of a module by its name: stages.0.… is stage 1; 0 outside all stages."""
    first, _, rest = name.partition(".")
    return int(rest.split(".")[0]) + 1 if first == "stages" else 0


def image_norm(tensor: Tensor) -> float:
    """Root mean square over the batch of each image's L2 norm."""
    return (tensor.detach().norm() / len(tensor) ** 0.5).item()


def has_batch_norm(network: nn.Module) -> bool:
    """Whether some layer normalises by batch."""
    return any(isinstance(module, _BatchNorm) for module in network.modules())


def tau_of(network: nn.Module) -> float:
    """The number that scales the branches, as it is now; NaN for a network without one."""
    tau = getattr(network, "tau", torch.nan)
    return tau.item() if isinstance(tau, Tensor) else float(tau)
