"""Stored predictions: one file a network and split, with the logits and the label of every image."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from reslab.errors import UserError, first_line
from reslab.report.predictions.scores import answers, probabilities, wrong
from reslab.runs import sealed
from reslab.storage import replacing, usual_mode, writes

MEND = "delete it and run `dvc repro evaluate`"


@dataclass(frozen=True)
class Predictions:
    """Logits float32 (N, K), labels int64 (N,) in the same order, and the names of the K classes."""

    logits: np.ndarray
    labels: np.ndarray
    class_names: list[str]

    @property
    def probabilities(self) -> np.ndarray:
        """Softmax of the logits, float64 (N, K)."""
        return probabilities(self.logits)

    @property
    def answers(self) -> np.ndarray:
        """The class each image is taken for, int64 (N,); -1 is no answer."""
        return answers(self.logits)

    @property
    def wrong(self) -> np.ndarray:
        """Which images are answered wrongly, bool (N,)."""
        return wrong(self.logits, self.labels)


@writes
def save(path: Path, predictions: Predictions) -> str:
    """Write predictions as safetensors; return the file's checksum."""
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {"logits": np.ascontiguousarray(predictions.logits, dtype=np.float32), "labels": predictions.labels.astype(np.int64)}
    with replacing(path) as draft:
        with usual_mode(draft):
            save_file(arrays, draft, metadata=sealed.metadata({"class_names": predictions.class_names}))
        return sealed.seal(draft)


def load(path: Path, checksum: str | None = None) -> Predictions:
    """Read what `save` wrote; raises UserError for a missing or damaged file, or for one of another `checksum`."""
    if not path.exists():
        raise UserError(f"{path}: no such file; run `dvc repro`")
    found = sealed.read(path, failed="damaged predictions", mend=MEND)
    if checksum is not None and found.checksum != checksum:
        raise UserError(f"{path}: not the predictions that its experiment's record tells of (another checksum); {MEND}")
    try:
        with safe_open(path, "numpy") as file:
            return Predictions(file.get_tensor("logits"), file.get_tensor("labels"), found.description["class_names"])
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: damaged predictions ({first_line(error)}); {MEND}") from error
