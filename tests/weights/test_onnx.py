"""Networks as ONNX files: every family's logits in ONNX Runtime, and what happens where they would not be equal."""

import json
import sys
from functools import cache

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from families import SMALLEST, build, sizes
from torch import Tensor, nn
from torch.onnx._internal.exporter._registration import ONNXRegistry

from reslab.errors import UserError
from reslab.models import MODELS
from reslab.weights import onnx as onnx_export
from reslab.weights.network import RawPixelClassifier

DESCRIPTION = {"dataset": {"class_names": ["a", "b"]}}


@pytest.fixture(scope="module", autouse=True)
def one_registry():
    """torch's table of operations, which it makes anew for each export: a quarter of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ONNXRegistry, "from_torchlib", staticmethod(cache(ONNXRegistry.from_torchlib)))
        yield


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_onnx_runtime_computes_the_same_logits(name, tmp_path):
    size = sizes(name)[0]
    classifier = RawPixelClassifier(build(name, SMALLEST[name][0]), [0.5, 0.4, 0.3], [0.2, 0.25, 0.3]).eval()
    path = tmp_path / "new" / "x.onnx"
    difference = onnx_export.export(classifier, path, image_shape=[3, size, size], description=DESCRIPTION)
    assert difference < 1e-3
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert json.loads(session.get_modelmeta().custom_metadata_map["reslab"]) == DESCRIPTION
    for batch in (1, 7):
        pixels = torch.randint(256, (batch, 3, size, size)).float()
        (logits,) = session.run(["logits"], {"pixels": pixels.numpy()})
        with torch.no_grad():
            expected = classifier(pixels).numpy()
        np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4 * max(1, np.abs(expected).max()))


def test_the_file_is_one_well_formed_model_of_the_stated_opset(tmp_path):
    onnx_export.export(linear(), tmp_path / "x.onnx", image_shape=[1, 2, 2], description=DESCRIPTION)
    assert [path.name for path in tmp_path.iterdir()] == ["x.onnx"]
    model = onnx.load(tmp_path / "x.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert [entry.version for entry in model.opset_import if entry.domain == ""] == [onnx_export.OPSET]


def test_exporting_prints_nothing(tmp_path, capfd):
    onnx_export.export(linear(), tmp_path / "x.onnx", image_shape=[1, 2, 2], description=DESCRIPTION)
    assert capfd.readouterr() == ("", "")


def linear(weight: float = 1.0) -> nn.Module:
    layer = nn.Linear(4, 3)
    nn.init.constant_(layer.weight, weight)
    return nn.Sequential(nn.Flatten(), layer).eval()


class Drifting(nn.Module):
    """Computes something else whenever it is not being traced."""

    def forward(self, x: Tensor) -> Tensor:
        logits = x.mean((2, 3))
        return logits if torch.compiler.is_exporting() else logits + 1


def test_other_logits_are_refused_and_an_old_file_stays(tmp_path):
    (tmp_path / "x.onnx").write_text("old")
    with pytest.raises(UserError, match=r"differ by 1, more than 0\.0\d+: nothing was written"):
        onnx_export.export(Drifting().eval(), tmp_path / "x.onnx", image_shape=[3, 8, 8], description=DESCRIPTION)
    assert (tmp_path / "x.onnx").read_text() == "old"
    with pytest.raises(UserError, match="differ by nan"):
        onnx_export.export(linear(float("nan")), tmp_path / "y.onnx", image_shape=[1, 2, 2], description=DESCRIPTION)
    assert [path.name for path in tmp_path.iterdir()] == ["x.onnx"]


class Unexportable(nn.Module):
    """Decides by a pixel's value, which a graph cannot."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3)) if x[0, 0, 0, 0].item() > 0 else x.sum((2, 3))


def test_what_has_no_onnx_form_is_a_user_error(tmp_path):
    with pytest.raises(UserError, match=r"^this network cannot be exported to ONNX ") as caught:
        onnx_export.export(Unexportable().eval(), tmp_path / "x.onnx", image_shape=[3, 8, 8], description=DESCRIPTION)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_package_is_named_with_its_extra(tmp_path, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match=rf"^ONNX export needs {package}: pip install --editable '\.\[onnx\]'$"):
        onnx_export.export(linear(), tmp_path / "x.onnx", image_shape=[1, 2, 2], description=DESCRIPTION)
