"""`model.init_from`: weights of a trained or an imported network that training starts from, for fine-tuning."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from torch import Tensor, nn

from reslab.config.start import InitFrom
from reslab.environment import project_root
from reslab.errors import UserError, cut, first_line
from reslab.runs import checksums, network_files, sealed

WHERE = "model.init_from"
SHOWN = 4  # names in a message
MEND = "give a folder such as data/imported/NAME; `reslab import-weights` makes one of somebody else's checkpoint"


@dataclass(frozen=True)
class Start:
    """The weights that a network starts from, as their file has them."""

    path: str  # as the user wrote it
    checksum: str  # sha256 of the file
    tensors: Mapping[str, Tensor]
    class_names: list[str]
    normalization: Mapping  # mean and std of what it was trained on


def read(wanted: InitFrom) -> Start:
    """Read and verify what `init_from` names; raises UserError if it is missing, damaged, or no longer what it was."""
    start = _read(project_root() / wanted.path, wanted.path)
    if wanted.sha256 not in (None, start.checksum):
        raise UserError(
            f"{WHERE}: {wanted.path} is another file than the one of sha256 {wanted.sha256[:12]}...; "
            "`dvc repro -s -f describe` and then `dvc repro` take the new one, or put the old file back"
        )
    return start


@cache
def _read(path: Path, shown: str) -> Start:
    weights = path / network_files.WEIGHTS if path.is_dir() else path
    if not weights.is_file():
        raise UserError(f"{WHERE}: {shown}: no network there ({weights.name}); {MEND}")
    found = sealed.read(weights, failed="cannot be started from", mend=MEND, older=True)
    network_files.check_weights(weights, found, older=True)
    dataset = found.description.get("dataset")
    names = dataset.get("class_names") if isinstance(dataset, dict) else None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UserError(f"{WHERE}: {shown}: its description names no classes; {MEND}")
    from safetensors import SafetensorError  # a bare machine with a GPU has it only where it is needed
    from safetensors.torch import load_file

    try:
        tensors = load_file(weights)
    except (SafetensorError, RuntimeError) as error:
        raise UserError(f"{WHERE}: {shown}: cannot read the weights ({cut(first_line(error))}); {MEND}") from error
    said = found.description.get("normalization")
    return Start(shown, checksums.of_file(weights), tensors, names, said if isinstance(said, dict) else {})


def put_into(network: nn.Module, start: Start, class_names: list[str]) -> list[str]:
    """Give the network the weights to start from; returns the names of the tensors that were not taken: those of the classifier,
    where the classes are others.

    On the meta device only names and shapes are compared. Raises UserError if any other tensor does not fit.
    """
    ours = network.state_dict()
    left = [] if start.class_names == class_names else _classifier(network, len(class_names))
    taken = {name: tensor for name, tensor in start.tensors.items() if name not in left}
    check_fits(taken, {name: tensor for name, tensor in ours.items() if name not in left}, start.path)
    if not next(network.parameters()).is_meta:
        network.load_state_dict(ours | taken)
    return left


def notes(start: Start, left: list[str], mean: object, std: list[float]) -> list[str]:
    """What a reader should know of the start: the tensors that were not taken, and a normalisation that is another one."""
    said = [f"starts from {start.path}"]
    if left:
        said[0] += f" but for {', '.join(left)}, which are drawn anew: it has {len(start.class_names)} other classes"
    theirs = start.normalization
    numbers = {key: value for key in ("mean", "std") if _are_numbers(value := theirs.get(key))}  # a mean image is none of them
    if "std" not in numbers:
        said.append("its file does not say how its images were normalised")
    elif (theirs.get("mean"), theirs.get("std")) != (mean, std):
        text = "; ".join(f"{key} {[round(number, 4) for number in value]}" for key, value in numbers.items())
        said.append(f"its images were normalised otherwise ({text}); `normalize: {{name: constants, ...}}` gives the same")
    return said


def _are_numbers(value: object) -> bool:
    """Whether a value of a stranger's description is a list of numbers, none larger than a float can be."""
    return isinstance(value, list) and all(_is_number(one) for one in value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _classifier(network: nn.Module, classes: int) -> list[str]:
    """The tensors of the last layer that has an output a class; raises UserError if there is none."""
    heads = [
        path
        for path, module in network.named_modules()
        if getattr(module, "out_features", None) == classes or getattr(module, "out_channels", None) == classes
    ]
    if not heads:
        raise UserError(f"{WHERE}: the classes are others than there, and no layer here has {classes} outputs to draw anew")
    return [name for name in network.state_dict() if name.startswith(f"{heads[-1]}.")]


def check_fits(theirs: Mapping[str, Tensor], ours: Mapping[str, Tensor], path: str) -> None:
    """Raise UserError unless names and shapes of the tensors agree."""
    others = [name for name in ours if name in theirs and theirs[name].shape != ours[name].shape]
    problems = {
        "missing there": [name for name in ours if name not in theirs],
        "unknown here": [name for name in theirs if name not in ours],
        "of another shape": [f"{cut(name)} {list(theirs[name].shape)}, here {list(ours[name].shape)}" for name in others],
    }
    said = [f"{len(names)} {what}: {some(names)}" for what, names in problems.items() if names]
    if said:
        raise UserError(f"{WHERE}: {path} is not of this network; {'; '.join(said)}")


def some(names: list[str]) -> str:
    """The first names of many."""
    return ", ".join(map(cut, names[:SHOWN])) + (", ..." if len(names) > SHOWN else "")
