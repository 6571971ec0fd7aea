"""Networks made from `{name: ..., **options}`: of our families, of one's own code, of timm and torchvision."""

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import nn

from reslab.config import parse_yaml, plugins, schema
from reslab.environment import memory_bytes
from reslab.errors import UserError, shown
from reslab.models import MODELS
from reslab.models.peers import PEERS
from reslab.rng import key_of

Constructor = Callable[[int, int], nn.Module]  # of image channels and classes
WEIGHT = 4  # bytes of a parameter in float32
INIT_FROM = "init_from"  # a key of the section model that is no option of a network


def bind_network(model: Mapping) -> Constructor:
    """The network of a section `model`, its options set; raises UserError with the path."""
    spec = {key: value for key, value in model.items() if key != INIT_FROM} if isinstance(model, Mapping) else model
    name = schema.named(spec, "model")["name"]
    if not plugins.is_own(name):
        return schema.bind(MODELS, spec, "model")
    library, _, theirs = name.partition(":")
    if library not in PEERS:
        return _checked(plugins.bind("model", MODELS, spec, "model"), name)
    found = schema.bind({name: PEERS[library](theirs)}, spec, "model")

    def construct(in_channels: int, num_classes: int) -> nn.Module:
        with plugins.blamed("model", name):
            return found(in_channels, num_classes)

    return _checked(construct, name)


def own_function(name: str) -> Callable:
    """The function or class that makes a network of one's own, of timm or of torchvision; raises UserError."""
    library, _, theirs = name.partition(":")
    return PEERS[library](theirs) if library in PEERS else plugins.function(name, "model")


def _checked(construct: Constructor, name: str) -> Constructor:
    """The constructor of a network that is not ours; raises UserError for anything but a module with parameters.

    One that reads numbers while it is built, such as `linspace(...).tolist()`, cannot be on the meta device: the CPU builds it.
    """

    def build(in_channels: int, num_classes: int) -> nn.Module:
        try:
            network = construct(in_channels, num_classes)
        except UserError:
            if torch.get_default_device().type != "meta":
                raise
            with torch.device("cpu"):
                network = construct(in_channels, num_classes)
            network = network.to("meta") if isinstance(network, nn.Module) else network
        if not isinstance(network, nn.Module) or not any(True for _ in network.parameters()):
            what = "a network without parameters" if isinstance(network, nn.Module) else f"a {type(network).__name__}"
            raise UserError(f"model: {name} must return a torch.nn.Module with parameters, not {what}")
        return network

    return build


def build_network(model: Mapping, facts: Mapping, *, seed: int) -> nn.Module:
    """The network of a `{name: ..., **options}` that the user wrote; raises UserError."""
    return constructed(bind_network(model), facts, seed=seed)


def build_stored_network(model: Mapping, facts: Mapping, *, seed: int) -> nn.Module:
    """The network that a file of weights tells of, whoever sent it: code runs only if this project would run it anyway.

    Raises UserError for a name of one's own code that neither params.yaml has nor plugins/ has as a network.
    """
    name = model.get("name") if isinstance(model, Mapping) else None
    if plugins.is_own(name) and name.partition(":")[0] not in PEERS and not _named_here(name):
        _check_is_network(name)
    return build_network(model, facts, seed=seed)


def _named_here(name: str, params: Path = Path("params.yaml")) -> bool:
    """Whether params.yaml has the network."""
    try:
        document = parse_yaml(params.read_text(encoding="utf-8"))
    except (OSError, UserError, UnicodeDecodeError):
        return False
    rows = document.get("experiments") if isinstance(document, Mapping) else None
    sections = [document, *(rows.values() if isinstance(rows, Mapping) else [])]
    models = [section.get("model") for section in sections if isinstance(section, Mapping)]
    return any(isinstance(model, Mapping) and model.get("name") == name for model in models)


def _check_is_network(name: str) -> None:
    """Raise UserError unless plugins/ has a module class, or a function that says it returns a module, of this name."""
    found = None
    if plugins.NAME.fullmatch(name) and plugins.plugin_file(name.partition(":")[0]) is not None:
        found = plugins.function(name, "model")
    made = found if isinstance(found, type) else getattr(found, "__annotations__", {}).get("return")
    if not (isinstance(made, type) and issubclass(made, nn.Module)):
        raise UserError(
            f"the weights name {shown(name)} as their network, which is neither in params.yaml nor a network in {plugins.FOLDER}/ "
            "(a class of torch.nn.Module, or a function with `-> nn.Module`); nothing of it was run"
        )


def constructed(construct: Constructor, facts: Mapping, *, seed: int) -> nn.Module:
    """What `construct` makes for the facts' image_shape and class_names, drawn from `seed` on the CPU: the same on every device.

    Raises UserError if its weights do not fit into memory, before any is made.
    """
    sizes = facts["image_shape"][0], len(facts["class_names"])
    with torch.random.fork_rng(devices=[]):
        if torch.get_default_device().type != "meta":
            with torch.device("meta"):
                check_memory(construct(*sizes), WEIGHT)
        torch.manual_seed(key_of(seed, "init") >> 1)
        return construct(*sizes)


def check_memory(network: nn.Module, each: int) -> None:
    """Raise UserError if `each` bytes for each of a network's parameters are more than this machine's memory."""
    parameters = sum(parameter.numel() for parameter in network.parameters())
    needed, there = parameters * each / 1e9, memory_bytes() / 1e9
    if needed > there:
        raise UserError(
            f"model: {parameters:,} parameters need at least {needed:,.0f} GB of memory, and there are {there:,.0f} GB; "
            "make it narrower or shallower"
        )
