"""Weights on disk: one safetensors file with a description of the network as metadata."""

import json
from pathlib import Path
from textwrap import shorten
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from reslab.errors import UserError, cut, first_line, located
from reslab.runs.records import METADATA_KEY
from reslab.training.checkpoint import replace_file
from reslab.weights.check import MOST_BRACKETS, check_header


def save_weights(path: Path, model: nn.Module, description: dict) -> None:
    """Write the state dict as safetensors, with the description of what it is."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    replace_file(path, lambda draft: save_file(tensors, draft, metadata={METADATA_KEY: json.dumps(description)}))


def load_weights(path: Path, model: nn.Module) -> None:
    """Load a safetensors file into the model, strictly; raises UserError for a missing or damaged file or another network."""
    try:
        model.load_state_dict(load_file(path))
    except (FileNotFoundError, SafetensorError, RuntimeError) as error:
        raise UserError(f"{path}: cannot load the weights ({shorten(str(error), 300)})") from error


def read_metadata(path: Path) -> Any:
    """The description that `save_weights` stored; raises UserError for a missing or damaged file, or a huge one."""
    try:
        with located(path):
            check_header(path)
        with safe_open(path, "pt") as file:
            text = file.metadata()[METADATA_KEY]
        if text.count("[") + text.count("{") > MOST_BRACKETS:
            raise UserError(f"{path}: its description has more than {MOST_BRACKETS:,} parts: not one of reslab's")
        return json.loads(text)
    except UserError:
        raise
    except (FileNotFoundError, SafetensorError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: cannot read what the weights are ({cut(first_line(error))})") from error


def read_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Name -> shape of the tensors in a file, without reading them; raises UserError for a damaged one."""
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
        with located(path):
            check_header(path)
        with safe_open(path, "pt") as file:
            return METADATA_KEY in (file.metadata() or {})
    except (UserError, OSError, SafetensorError):
        return False
