"""Weights from elsewhere: a published checkpoint, fitted to one of our networks."""

import re
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from reslab.errors import UserError, cut, located
from reslab.runs import checksums, sealed
from reslab.weights import foreign, sets
from reslab.weights.check import compare, shapes_of, some
from reslab.weights.keymaps import KeyMap
from reslab.weights.keymaps.apply import Mapped, apply
from reslab.weights.keymaps.patterns import LONGEST

WRAPPERS = re.compile(r"(module\.|_orig_mod\.)+")  # DataParallel, once or twice, and torch.compile
# Old checkpoints have no counters, other people's no streams of draws (models/stochastic.py): the network's own stay.
MAY_BE_MISSING = re.compile(r"(.*\.)?(num_batches_tracked|draws\.\w+)")
MOST_TENSORS = 100_000  # ResNet-1202 has 7,000
MOST_NUMBERS = 2**33  # in one of them


@dataclass(frozen=True)
class Checkpoint:
    """One set of weights of a file, and what else is in it."""

    tensors: dict[str, Tensor]
    place: str  # of this set in the file, such as `state_dict`; "" if the file is nothing else
    others: list[str]  # the places of the other sets of weights
    unread: list[str]  # types of objects that stood beside them
    checked: bool = True  # whether the file has checksums


def read_checkpoint(path: Path, wanted: str | None = None) -> Checkpoint:
    """A set of weights of a .safetensors file or a torch file by name, on the CPU, without wrappers' prefixes.

    `wanted`: the place of the set. Raises UserError for a missing or damaged file, and if it is not clear which weights are meant.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    with located(path):
        stored, unread = foreign.read(path)
        checked = foreign.has_checksums(path)
    if checked and path.suffix == ".safetensors":
        sealed.read(path, failed="cannot take the weights", mend="fetch it again", older=True)
    with located(path):
        place, tensors, others = sets.chosen(stored, wanted)
        with located(place) if place else nullcontext():
            _check_tensors(tensors)
            return Checkpoint(unwrapped(tensors), place, others, unread, checked)


def _check_tensors(tensors: Mapping[str, Tensor]) -> None:
    """Raise UserError for names that cannot be printed and for tensors that are none of a network."""
    if len(tensors) > MOST_TENSORS:
        raise UserError(f"{len(tensors):,} tensors are more than any network's")
    for name, tensor in tensors.items():
        if len(name) > LONGEST or not name.isprintable():
            raise UserError(f"the name of a tensor, {cut(ascii(name))}, is no line of text of at most {LONGEST} characters")
        if tensor.layout is not torch.strided or tensor.is_meta or tensor.is_quantized or tensor.is_complex():
            raise UserError(f"{cut(name)} is no plain tensor: sparse, quantized, complex or without numbers")
        if tensor.numel() > MOST_NUMBERS:
            raise UserError(f"{cut(name)} has {tensor.numel():,} numbers, more than any network's")


def unwrapped(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Names without the prefixes of DataParallel and torch.compile; raises UserError if two are then the same."""
    plain = {name: name[match.end() :] if (match := WRAPPERS.match(name)) else name for name in tensors}
    if len(set(plain.values())) < len(plain):
        raise UserError("some tensors are there twice, with and without the prefix of a wrapper (module.); keep one of each")
    return {plain[name]: tensor for name, tensor in tensors.items()}


def load(network: nn.Module, tensors: dict[str, Tensor], keys: KeyMap) -> tuple[Mapped, list[str]]:
    """Put a checkpoint's tensors into the network through a key map; return their account and the names the network kept.

    Raises UserError if a rule does not fit, if numbers are not finite, or naming every tensor that is missing, left over or of
    another shape.
    """
    own = network.state_dict()
    mapped = apply(keys, tensors, own)
    kept = [name for name in own if name not in mapped.tensors and MAY_BE_MISSING.fullmatch(name)]
    state = mapped.tensors | {name: own[name] for name in kept}
    compare(shapes_of(state), shapes_of(own), who="the checkpoint")
    integers = [name for name in own if own[name].is_floating_point() and not state[name].is_floating_point()]
    if integers:
        raise UserError(
            f"{len(integers)} tensors hold integers where the network has fractions: {some(integers)}; convert them first"
        )
    network.load_state_dict(state)
    check_numbers(network.state_dict())
    return mapped, kept


def check_numbers(state: Mapping[str, Tensor]) -> None:
    """Raise UserError for NaN, infinity or a variance below zero, naming the tensors."""
    bad = [name for name, tensor in state.items() if not tensor.isfinite().all()]
    if bad:
        raise UserError(f"{len(bad)} tensors hold NaN or infinity, so that every answer would be wrong: {some(bad)}")
    negative = [name for name, tensor in state.items() if name.endswith("running_var") and (tensor < 0).any()]
    if negative:
        raise UserError(f"{len(negative)} running variances are below zero: {some(negative)}")


def account(checkpoint: Checkpoint, mapped: Mapped, kept: list[str]) -> str:
    """What became of a checkpoint's tensors, one line a kind."""
    lines = [f"renamed {mapped.renamed} of {len(mapped.tensors)} tensors"]
    if checkpoint.place:
        lines.append(f"taken from {checkpoint.place}" + (f", not from {some(checkpoint.others)}" if checkpoint.others else ""))
    lines += [f"dropped {what}" for what in mapped.dropped]
    lines += [f"tied {what}" for what in mapped.tied]
    if kept:
        lines.append(f"not in the checkpoint, so as in a new network: {some(kept)}")
    if checkpoint.unread:
        lines.append(f"beside the weights, not needed and not read: {some(checkpoint.unread)}")
    if not checkpoint.checked:
        lines.append("without checksums, as all .safetensors of others and torch files from before version 1.6: damage is not seen")
    return "\n".join(lines)


def origin(path: Path, key_map: str) -> dict[str, str]:
    """Where imported weights come from, for their metadata."""
    return {"checkpoint": path.name, "sha256": checksums.of_file(path), "key_map": key_map}
