"""What is asked of a file of weights before anything is built or read from it: cheap, and whoever wrote it."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from reslab.data.normalize import Mean, spread
from reslab.errors import UserError, check_plain, cut, first_line
from reslab.experiment.networks import build_stored_network
from reslab.runs.records import METADATA_KEY

LARGEST_HEADER = 10 * 2**20  # bytes: the tensors' names and the description, of which a mean image is most (3 MB at 224 pixels)
MOST_PARTS = 300_000  # of a header: seven a tensor, and in a mean image one a row of pixels
SHOWN, ROOM = 8, 300  # names in an error message, and characters for them


def check_header(path: Path) -> None:
    """Raise UserError if the header of a safetensors file would take long to read: it is damaged or no such file."""
    check_plain(path)
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > LARGEST_HEADER:
            raise UserError(f"damaged, or not a safetensors file (its header would have {length:,} bytes)")
        header = file.read(length)
    if sum(header.count(sign) for sign in (b"[", b"{", b":")) > MOST_PARTS:
        raise UserError(f"more than {MOST_PARTS:,} parts in its header: none that reslab or safetensors wrote for a network")


def read_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Name -> shape of the tensors in a safetensors file, without reading them; raises UserError for a damaged one."""
    try:
        with safe_open(path, "pt") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 - it is no mapping
    except (FileNotFoundError, SafetensorError) as error:
        raise UserError(f"{path}: cannot read the weights ({cut(first_line(error))})") from error


def is_ours(path: Path) -> bool:
    """Whether a file is a safetensors file with a description of ours."""
    if path.suffix != ".safetensors":
        return False
    try:
        check_header(path)
        with safe_open(path, "pt") as file:
            return METADATA_KEY in (file.metadata() or {})
    except (UserError, OSError, SafetensorError):
        return False


def check_fits(model: Mapping[str, Any], facts: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Raise UserError unless a file's tensors are those of the network that its metadata tells of, before any memory is taken."""
    _check_layers(model, len(shapes))
    try:
        with torch.device("meta"):
            network = build_stored_network(model, facts, seed=0)
    except UserError:
        raise
    except (RuntimeError, MemoryError, ArithmeticError, ValueError, TypeError) as error:
        raise UserError(f"metadata.config.model: cannot be built ({cut(first_line(error))})") from error
    compare(shapes, shapes_of(network.state_dict()), who="the file")


def _check_layers(model: Mapping[str, Any], tensors: int) -> None:
    """Raise UserError if the described network has more layers than the file has tensors."""
    for key in ("depth", "blocks", "layers"):
        given = model.get(key)
        numbers = [number for number in (given if isinstance(given, list) else [given]) if isinstance(number, int)]
        if sum(map(abs, numbers)) > tensors:
            raise UserError(f"metadata.config.model.{key}: more layers than the {tensors} tensors in the file: not their network")


def check_constants(mean: Mean, std: list[float], image_shape: list[int]) -> None:
    """Raise UserError unless there is one std a channel, and one finite mean a channel or a pixel."""
    channels = image_shape[0]
    try:
        values = spread(mean)
    except (ValueError, TypeError) as error:
        raise UserError(f"metadata.normalization.mean: rows of unequal length ({cut(first_line(error))})") from error
    if len(std) != channels or list(values.shape) not in ([channels, 1, 1], list(image_shape)):
        raise UserError(f"metadata.normalization: expected {channels} numbers each, one a channel, or a mean of the image's shape")
    if not values.isfinite().all():
        raise UserError("metadata.normalization.mean: NaN or infinity")


def compare(theirs: Mapping[str, tuple[int, ...]], ours: Mapping[str, tuple[int, ...]], *, who: str) -> None:
    """Raise UserError unless names and shapes agree; `who` has theirs."""
    shapes = [
        f"{cut(name)} is {shape_text(theirs[name])}, the network's {shape_text(ours[name])}"
        for name in ours
        if name in theirs and tuple(theirs[name]) != tuple(ours[name])
    ]
    problems = {
        "missing": [name for name in ours if name not in theirs],
        "unexpected": [name for name in theirs if name not in ours],
        "of another shape": shapes,
    }
    said = [f"{len(names)} {what}: {some(names)}" for what, names in problems.items() if names]
    if said:
        raise UserError(f"{who} does not fit the network: {'; '.join(said)}")


def shapes_of(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Name -> shape."""
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def shape_text(shape: Iterable[int]) -> str:
    """16x3x3x3, or `a single number`."""
    return "x".join(map(str, shape)) or "a single number"


def some(names: Iterable[str]) -> str:
    """The first names of many, at most SHOWN and as many as fit."""
    names = list(names)
    listed = [cut(name) for name in names[:SHOWN]]
    while len(listed) > 1 and sum(map(len, listed)) > ROOM:
        listed.pop()
    rest = len(names) - len(listed)
    return ", ".join(listed) + (f" and {rest} more" if rest > 0 else "")
