"""Weights on disk: one safetensors file with a description of the network as metadata, and a checksum of all its bytes."""

from pathlib import Path
from textwrap import shorten
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from reslab.errors import UserError
from reslab.runs import sealed
from reslab.runs.records import METADATA_KEY
from reslab.storage import usual_mode
from reslab.training.checkpoint import replace_file

__all__ = ["METADATA_KEY", "load_weights", "read_metadata", "read_sealed", "save_weights"]

MEND = "delete it and run `dvc repro`, or copy or import it again"


def save_weights(path: Path, model: nn.Module, description: dict) -> str:
    """Write the state dict as safetensors, with the description of what it is; return its checksum."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}

    def write(draft: Path) -> None:
        with usual_mode(draft):
            save_file(tensors, draft, metadata=sealed.metadata(description))
        checksums.append(sealed.seal(draft))

    checksums: list[str] = []
    replace_file(path, write)
    return checksums[0]


def load_weights(path: Path, model: nn.Module, *, older: bool = True) -> None:
    """Load a safetensors file into the model, strictly; raises UserError for a missing or damaged file or another network.

    `older`: also one of a version that wrote no checksums.
    """
    sealed.read(path, failed="cannot load the weights", mend=MEND, older=older)
    try:
        model.load_state_dict(load_file(path))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise UserError(f"{path}: cannot load the weights ({shorten(str(error), 300)})") from error


def read_metadata(path: Path) -> dict[str, Any]:
    """The description that `save_weights` stored; raises UserError for a missing or damaged file."""
    return read_sealed(path).description


def read_sealed(path: Path, *, older: bool = True) -> sealed.Sealed:
    """The description and the checksum of weights, verified; raises UserError for a missing or damaged file."""
    return sealed.read(path, failed="cannot read the network's description", mend=MEND, older=older)
