"""Whether imported weights compute what they did where they come from: names and shapes cannot show it."""

import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from reslab.errors import UserError, cut, located
from reslab.report.predictions import Predictions
from reslab.weights import foreign
from reslab.weights.network import RawPixelClassifier

TOLERANCE = 1e-3  # of the largest logit: the other side may have computed in TF32 on a GPU
SLACK = 2e-4  # of the images, 2 in 10,000, on top of the rounding of a published error: other hardware answers a few otherwise
COARSEST = 0.005  # rounding that is allowed for: an error without decimals says no more
AT_ONCE = 50  # images
PERCENT, FRACTION = re.compile(r"(\d{1,3}(?:\.(\d+))?)\s*%"), re.compile(r"([01]?(?:\.(\d+))?)")
NOT_PROVEN = (
    "not proven: names and shapes fit, and so they may in a network that computes something else;"
    " give --reference or --expected-error"
)
LOOK_AT = "look at the model's options (shortcut: A or A_both_sides?), the normalization and the order of the classes"


def by_logits(classifier: RawPixelClassifier, path: Path, image_shape: list[int]) -> dict[str, Any]:
    """Compare the network's logits with those of a reference file: images (or inputs) and logits, as .safetensors or torch file.

    Returns what is stored of the proof; raises UserError for a file of another form, or if they differ.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    with located(path):
        kind, images, expected = _reference(path, image_shape)
        network = classifier if kind == "images" else classifier.network
        found = _logits(network, images)
        if found.shape != expected.shape:
            raise UserError(f"logits are {list(expected.shape)}, the network's {list(found.shape)}")
        difference, largest = float((found - expected).abs().max()), float(expected.abs().max())
        if not difference <= TOLERANCE * largest:
            raise UserError(_differ(found, expected, difference, largest))
    return {"reference": path.name, "of": kind, "count": len(images), "largest_difference": difference, "largest_logit": largest}


def _differ(found: Tensor, expected: Tensor, difference: float, largest: float) -> str:
    allowed = TOLERANCE * largest
    if float((found.sort(1).values - expected.sort(1).values).abs().max()) <= allowed:
        return "the logits are the same numbers in another order: the outputs are not the classes they are taken for; see --classes"
    return (
        f"the logits differ by up to {difference:.2g}, of {largest:.2g}; {allowed:.1g} is allowed: not the same network; {LOOK_AT}"
    )


def _reference(path: Path, image_shape: list[int]) -> tuple[str, Tensor, Tensor]:
    """What the reference is of (images or inputs), these float32 (N, C, H, W), and the logits (N, K); raises UserError."""
    stored, _ = foreign.read(path)
    form = "expected a mapping with `logits` (N, K) and either `images`, pixels 0..255, or `inputs`, normalized, both (N, C, H, W)"
    if not isinstance(stored, dict) or ("images" in stored) == ("inputs" in stored):
        raise UserError(form)
    kind = "images" if "images" in stored else "inputs"
    images, logits = stored[kind], stored.get("logits")
    if not all(isinstance(tensor, Tensor) and tensor.layout is torch.strided for tensor in (images, logits)):
        raise UserError(form)
    if images.dim() != 4 or list(images.shape[1:]) != list(image_shape) or len(images) == 0:
        raise UserError(f"{kind} are {list(images.shape)}, the network takes (N, {', '.join(map(str, image_shape))})")
    images, logits = images.detach().float(), logits.detach().float()
    if not (images.isfinite().all() and logits.isfinite().all()):
        raise UserError("NaN or infinity in it")
    if kind == "images" and (images.min() < 0 or not 1 < images.max() <= 255):
        raise UserError("images must be pixels 0..255; as the network takes them, normalized, they are `inputs`")
    if logits.dim() != 2 or logits.max() == logits.min():
        raise UserError("logits must be (N, K), and not all the same number: that would prove nothing")
    return kind, images, logits


@torch.no_grad()
def _logits(network: torch.nn.Module, images: Tensor) -> Tensor:
    return torch.cat([network(batch) for batch in images.split(AT_ONCE)])


def by_error(answers: Predictions, expected: str, split: str) -> dict[str, Any]:
    """Compare the error on a split with a published one such as 8.57%; returns what is stored, raises UserError if they differ."""
    value, rounding = parse_error(expected)
    count, wrong = len(answers.labels), int(answers.wrong.sum())
    found = wrong / count
    if abs(found - value) > rounding + SLACK:
        raise UserError(
            f"the error on {split} is {found:.2%} ({wrong} of {count} images), not {cut(expected)}: not the same network; {LOOK_AT}"
        )
    return {"split": split, "count": count, "error": found, "expected": expected.strip()}


def parse_error(text: str) -> tuple[float, float]:
    """An error such as 8.57% or 0.0857 as a fraction, and half a unit of its last digit, at most COARSEST; raises UserError."""
    text = text.strip()
    for pattern, whole in ((PERCENT, 100), (FRACTION, 1)):
        found = pattern.fullmatch(text)
        if found and found[1] and float(found[1]) <= whole:
            return float(found[1]) / whole, min(COARSEST, 0.5 * 10 ** -len(found[2] or "") / whole)
    raise UserError(f"--expected-error: {cut(text)} is no error; write it as 8.57% or as 0.0857")


def said(proof: dict[str, Any] | None) -> str:
    """One line about a proof."""
    if proof is None:
        return NOT_PROVEN
    count = proof["count"]
    if "split" in proof:
        return f"proven: the error on {proof['split']} is {proof['error']:.2%} of {count} images, as expected ({proof['expected']})"
    share = proof["largest_difference"] / proof["largest_logit"]
    text = f"proven: the logits of {count} reference {proof['of']} differ by at most {share:.1e} of the largest"
    return text if proof["of"] == "images" else f"{text}; they are normalized already, so that the normalization here is not proven"
