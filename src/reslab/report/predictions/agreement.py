"""Whether what is scored is what was trained: evaluate's errors and those of the last epoch agree, up to rounding."""

import numpy as np

from reslab.errors import UserError
from reslab.report.predictions.file import Predictions

# How far logits may be apart on two machines, levels of execution or batch sizes, relative to an image's largest: thousands of
# times the precision's own rounding, which grows from layer to layer.
ROUNDING = {"float64": 1e-9, "float32": 1e-3, "tf32": 0.05, "float16": 0.05, "bfloat16": 0.2}


def check(experiment: str, record: dict, found: dict[str, Predictions]) -> None:
    """Raise UserError if a network's error on a split is not the one that training recorded, beyond rounding.

    A network that diverged is left out: the error in its record only marks it.
    """
    if record["status"] == "diverged":
        return
    rounding = ROUNDING[record.get("precision", "float32").removeprefix("pure_")]
    for split, answers in found.items():
        before, now = record.get(f"{split}_error"), float(answers.wrong.mean())
        allowed = close_calls(answers.logits, rounding)
        if before is not None and abs(round((now - before) * len(answers.labels))) > allowed:
            raise UserError(
                f"{experiment} seed {record['seed']}: {split} error {now:.4f}, but {before:.4f} when it was trained, and rounding "
                f"explains {allowed} of {len(answers.labels)} images: images, code or libraries have changed since; to train it "
                f"again with what is here, delete checkpoints/{record['identity']} and run `dvc repro -f train@{experiment}`"
            )


def close_calls(logits: np.ndarray, rounding: float) -> int:
    """The number of images whose two largest logits (N, K) are so close that rounding may decide; one without answer is none."""
    finite = logits[np.isfinite(logits).all(1)].astype(np.float64)
    if not finite.size:
        return 0
    second, first = np.sort(finite, axis=1)[:, -2:].T if finite.shape[1] > 1 else (finite[:, 0] - np.inf, finite[:, 0])
    return int((first - second <= 2 * rounding * np.abs(finite).max(1)).sum())
