"""Weights on disk: one safetensors file with a description of the network as metadata."""

import json
from pathlib import Path
from textwrap import shorten
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from reslab.errors import UserError, first_line
from reslab.runs.records import METADATA_KEY
from reslab.storage import usual_mode
from reslab.training.checkpoint import replace_file


def save_weights(path: Path, model: nn.Module, description: dict) -> None:
    """Write the state dict as safetensors, with the network's description as metadata."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}

    def write(draft: Path) -> None:
        with usual_mode(draft):
            save_file(tensors, draft, metadata={METADATA_KEY: json.dumps(description)})

    replace_file(path, write)


def load_weights(path: Path, model: nn.Module) -> None:
    """Load a safetensors file into the model, strictly; raises UserError for a missing or damaged file or another network."""
    try:
        model.load_state_dict(load_file(path))
    except (FileNotFoundError, SafetensorError, RuntimeError) as error:
        raise UserError(f"{path}: cannot load the weights ({shorten(str(error), 300)})") from error


def read_metadata(path: Path) -> dict[str, Any]:
    """The description that `save_weights` stored; raises UserError for a missing or damaged file."""
    try:
        with safe_open(path, "pt") as file:
            return json.loads(file.metadata()[METADATA_KEY])
    except (FileNotFoundError, SafetensorError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: cannot read the network's description ({first_line(error)})") from error
