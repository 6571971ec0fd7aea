"""Networks as ONNX files that other programs run: raw pixels in, logits out, checked before anything is written."""

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from reslab.errors import UserError, first_line, new_file
from reslab.storage import writing
from reslab.weights.file import METADATA_KEY

OPSET = 18
TOLERANCE = 1e-4  # of the largest logit, or of 1 if that is larger: both sides compute in float32
EXAMPLES = 2  # images in the traced batch; 1 would be taken for a constant


def export(classifier: nn.Module, path: Path, *, image_shape: tuple[int, int, int], description: dict) -> float:
    """Write a classifier of pixels 0..255 as one ONNX file with a free batch size; return the largest difference in a logit.

    Raises UserError, and writes nothing, if ONNX is not installed, a part has no ONNX form, or ONNX Runtime computes anything else.
    """
    content = converted(classifier, image_shape, description)
    difference = largest_difference(classifier, content, image_shape)
    with writing(path), new_file(path) as draft:
        draft.write_bytes(content)
    return difference


def converted(classifier: nn.Module, image_shape: tuple[int, int, int], description: dict) -> bytes:
    """The ONNX model with the description in its metadata, as bytes."""
    try:
        import onnx
        import onnxscript  # noqa: F401  torch imports it late, with an error of its own
    except ModuleNotFoundError as error:
        raise _not_installed(error) from error
    pixels = torch.rand(EXAMPLES, *image_shape) * 255
    try:
        with _quiet():
            program = torch.onnx.export(
                classifier,
                (pixels,),
                dynamo=True,
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                input_names=["pixels"],
                output_names=["logits"],
                opset_version=OPSET,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        raise UserError(f"this network cannot be exported to ONNX ({first_line(error)})") from error
    model = program.model_proto
    onnx.helper.set_model_props(model, {METADATA_KEY: json.dumps(description)})
    return model.SerializeToString()


def largest_difference(classifier: nn.Module, content: bytes, image_shape: tuple[int, int, int]) -> float:
    """Between ONNX Runtime's logits and ours on random pixels; raises UserError above the tolerance (NaN counts as above)."""
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise _not_installed(error) from error
    pixels = torch.randint(256, (EXAMPLES + 3, *image_shape), generator=torch.Generator().manual_seed(0)).float()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {"pixels": pixels.numpy()})
    expected = _logits(classifier, pixels)
    difference = float(np.abs(logits - expected).max())
    allowed = TOLERANCE * max(1.0, float(np.abs(expected).max()))
    if not difference <= allowed:
        raise UserError(f"ONNX Runtime's logits differ by {difference:.2g}, more than {allowed:.2g}: nothing was written")
    return difference


@torch.no_grad()
def _logits(classifier: nn.Module, pixels: Tensor) -> np.ndarray:
    return classifier(pixels).numpy()


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's warnings about its own insides."""
    level = logging.getLogger("torch.onnx").level
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.getLogger("torch.onnx").setLevel(level)


def _not_installed(error: ModuleNotFoundError) -> UserError:
    return UserError(f"ONNX export needs {error.name}: pip install --editable '.[onnx]'")
