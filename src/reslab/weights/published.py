"""Weights from elsewhere: reading a published checkpoint, and fitting it to one of our networks."""

import hashlib
import pickle
import re
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from reslab.errors import UserError, first_line, located
from reslab.weights.keymaps import KeyMap
from reslab.weights.keymaps.apply import Mapped, apply

NESTED = ("state_dict", "model_state_dict", "model", "net")  # where training scripts put the state dict
WRAPPERS = re.compile(r"(module\.|_orig_mod\.)+")  # DataParallel, once or twice, and torch.compile
# Old checkpoints have no counters, other people's no streams of draws (models/stochastic.py): the network's own stay.
MAY_BE_MISSING = re.compile(r"(.*\.)?(num_batches_tracked|draws\.\w+)")
SHOWN = 8  # names in an error message


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors file or a torch file by name, on the CPU, without wrappers' prefixes.

    Raises UserError for a missing or damaged file, and for one that holds more than tensors.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    with located(path):
        stored = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
        return unwrapped(state_dict(stored))


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except SafetensorError as error:
        raise UserError(f"damaged, or not a safetensors file ({first_line(error)})") from error


def _read_torch(path: Path) -> Any:
    try:
        with warnings.catch_warnings(action="ignore"):  # of an unusual pickle protocol: it loads or it does not
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        code = re.search(r"GLOBAL (\S+)", str(error))
        if code is None:
            raise UserError("damaged, or not a torch file") from error
        raise UserError(
            f"holds Python code ({code[1]}), not only tensors: a whole module was saved; load it where its code is,"
            " `torch.save(model.state_dict(), 'weights.pt')`, and import that"
        ) from error
    except (RuntimeError, EOFError, ValueError, KeyError) as error:
        raise UserError(f"damaged, or not a torch file ({first_line(error)})") from error


def state_dict(stored: Any) -> Mapping[str, Tensor]:
    """The state dict in what a training script saved: itself, or under one of the usual keys; raises UserError if none."""
    while isinstance(stored, Mapping):
        if stored and all(isinstance(value, Tensor) for value in stored.values()):
            return stored
        inner = [stored[key] for key in NESTED if isinstance(stored.get(key), Mapping)]
        if not inner:
            raise UserError(f"no state dict in it; looked under {', '.join(NESTED)}, found {_some(map(str, stored))}")
        stored = inner[0]
    raise UserError(f"no state dict in it, but a {type(stored).__name__}")


def unwrapped(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Names without the prefixes of DataParallel and torch.compile; raises UserError if two are then the same."""
    plain = {name: name[match.end() :] if (match := WRAPPERS.match(name)) else name for name in tensors}
    if len(set(plain.values())) < len(plain):
        raise UserError("some tensors are there twice, with and without the prefix of a wrapper (module.); keep one of each")
    return {plain[name]: tensor for name, tensor in tensors.items()}


def load(network: nn.Module, tensors: dict[str, Tensor], keys: KeyMap) -> tuple[Mapped, list[str]]:
    """Put a checkpoint's tensors into the network through a key map; return their account and the names the network kept.

    Raises UserError if a rule does not fit, or naming every tensor that is missing, left over or of another shape.
    """
    own = network.state_dict()
    mapped = apply(keys, tensors, own)
    kept = [name for name in own if name not in mapped.tensors and MAY_BE_MISSING.fullmatch(name)]
    state = mapped.tensors | {name: own[name] for name in kept}
    compare(state, own)
    network.load_state_dict(state)
    return mapped, kept


def account(mapped: Mapped, kept: list[str]) -> str:
    """What became of a checkpoint's tensors, one line a kind."""
    lines = [f"renamed {mapped.renamed} of {len(mapped.tensors)} tensors"]
    lines += [f"dropped {what}" for what in mapped.dropped]
    lines += [f"tied {what}" for what in mapped.tied]
    if kept:
        lines.append(f"not in the checkpoint, so as in a new network: {_some(kept)}")
    return "\n".join(lines)


def origin(path: Path, key_map: str) -> dict[str, str]:
    """Where imported weights come from, for their metadata."""
    with path.open("rb") as file:
        return {"checkpoint": path.name, "sha256": hashlib.file_digest(file, "sha256").hexdigest(), "key_map": key_map}


def compare(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> None:
    """Raise UserError unless names and shapes agree."""
    shapes = [
        f"{name} is {_shape(state[name])}, the network's {_shape(own[name])}"
        for name in own
        if name in state and state[name].shape != own[name].shape
    ]
    problems = {
        "missing": [name for name in own if name not in state],
        "unexpected": [name for name in state if name not in own],
        "of another shape": shapes,
    }
    listed = [f"{len(names)} {what}: {_some(names)}" for what, names in problems.items() if names]
    if listed:
        raise UserError(f"the checkpoint does not fit the network: {'; '.join(listed)}")


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a single number"


def _some(names: Iterable[str]) -> str:
    names = list(names)
    rest = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {rest} more" if rest > 0 else "")
