"""Networks that other libraries build: `timm:resnet18d`, `torchvision:resnet18`, with our channels and classes.

Their initial weights are drawn by their own rules; nothing is downloaded.
"""

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from torch import nn

from reslab.config.schema import Probability, unknown
from reslab.errors import UserError

Constructor = Callable[..., nn.Module]


def timm(name: str) -> Constructor:
    """A network of timm by its name there; raises UserError if timm is not installed or has no such network."""
    if find_spec("timm") is None:
        raise UserError("model.name: timm is not installed: pip install --editable '.[timm]', or pip install timm")
    import timm as library

    known = library.list_models(pretrained=False)
    if name not in known:
        raise UserError(f"model.name: {unknown(name, known, 'network of timm', listing='`timm.list_models()` lists them')}")

    def construct(
        in_channels: int, num_classes: int, *, drop_rate: Probability | None = None, drop_path_rate: Probability | None = None
    ) -> nn.Module:
        """A network of timm; `drop_rate` and `drop_path_rate` are for those that have them."""
        options = {"drop_rate": drop_rate, "drop_path_rate": drop_path_rate}
        given = {key: value for key, value in options.items() if value is not None}
        try:
            return library.create_model(name, pretrained=False, in_chans=in_channels, num_classes=num_classes, **given)
        except TypeError as error:
            raise UserError(
                f"timm:{name} cannot be made with {', '.join(given) or 'these channels and classes'} ({error})"
            ) from error

    return construct


def torchvision(name: str) -> Constructor:
    """A classifier of torchvision by its name there; raises UserError if it has no such network."""
    import torchvision.models as library

    known = library.list_models(module=library)
    if name not in known:
        raise UserError(
            f"model.name: {unknown(name, known, 'network of torchvision', listing='its `models.list_models()` lists them')}"
        )

    def construct(in_channels: int, num_classes: int) -> nn.Module:
        """A network of torchvision; where images are not RGB, its first convolution takes as many channels as they have."""
        options: dict[str, Any] = {"aux_logits": False} if name in ("googlenet", "inception_v3") else {}
        if options:
            options["init_weights"] = True  # said, or it warns of its own default
        network = library.get_model(name, weights=None, num_classes=num_classes, **options)
        return network if in_channels == 3 else with_channels(network, in_channels)

    return construct


def with_channels(network: nn.Module, channels: int) -> nn.Module:
    """The network, its first convolution made anew for `channels` input channels by torch's own initialisation."""
    path, first = next((path, module) for path, module in network.named_modules() if isinstance(module, nn.Conv2d))
    keys = ("out_channels", "kernel_size", "stride", "padding", "dilation", "padding_mode")
    kept = {key: getattr(first, key) for key in keys} | {"bias": first.bias is not None, "device": first.weight.device}
    parent, _, last = path.rpartition(".")
    setattr(network.get_submodule(parent), last, nn.Conv2d(channels, **kept))
    return network


PEERS: dict[str, Callable[[str], Constructor]] = {"timm": timm, "torchvision": torchvision}
