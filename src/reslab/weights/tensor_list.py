"""The tensors of a network by name and shape: what a key map has to join."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from reslab.errors import UserError, cut, first_line, located
from reslab.experiment.networks import build_network
from reslab.weights import outputs
from reslab.weights.check import is_ours, read_shapes, shape_text, shapes_of
from reslab.weights.network import read_network, weights_file
from reslab.weights.published import read_checkpoint


def of_model(model: Mapping[str, Any], image_shape: list[int], classes: int) -> list[str]:
    """Lines for a network of ours that has no weights yet; raises UserError for a model that cannot be built."""
    facts = {"image_shape": image_shape, "class_names": [str(number) for number in range(classes)]}
    try:
        with located("model"), torch.device("meta"):
            network = build_network(model, facts, seed=0)
    except RuntimeError as error:
        raise UserError(f"model: cannot be built ({cut(first_line(error))})") from error
    return lines(shapes_of(network.state_dict()))


def of_file(path: Path, chosen: str | None) -> list[str]:
    """Lines for a file or folder of weights: a network that reslab stored, with its classes, or somebody else's checkpoint."""
    if path.is_dir() or is_ours(path):
        path = weights_file(path)
        return [*lines(read_shapes(path)), *outputs.lines(read_network(path).facts["class_names"])]
    read = read_checkpoint(path, chosen)
    text = (
        [f"of {read.place}" + (f"; there are also {', '.join(map(cut, read.others))}" if read.others else "")] if read.place else []
    )
    return [*text, *lines(shapes_of(read.tensors))]


def lines(shapes: Mapping[str, tuple[int, ...]]) -> list[str]:
    """A line a tensor, and their number."""
    width = min(max(map(len, shapes), default=0), 100)
    return [*(f"{name:<{width}}  {shape_text(shape)}" for name, shape in shapes.items()), f"{len(shapes)} tensors"]
