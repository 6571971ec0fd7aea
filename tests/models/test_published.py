"""Every published architecture: its counts and, where there is one, its fingerprint."""

import inspect
import json

import pytest
import torch
from families import SMALLEST, build
from project import call

from reslab.models import MODELS
from reslab.models.analysis.count import count
from reslab.models.analysis.fingerprint import fill, fingerprint
from reslab.models.analysis.published import Architecture, architectures
from reslab.models.parts.layers import ImageNetStem

ALL = architectures()
LARGE = 20e6  # parameters


def cases(chosen: list[Architecture]) -> list:
    return [
        pytest.param(entry, id=entry.id, marks=[pytest.mark.slow] if entry.counts.parameters > LARGE else []) for entry in chosen
    ]


def test_all_of_them_are_there():
    assert len(ALL) == len({entry.id for entry in ALL})
    assert sum(entry.fingerprint is not None for entry in ALL) == 29


@pytest.mark.parametrize("entry", cases([entry for entry in ALL if entry.fingerprint]))
def test_fingerprint(entry):
    logits, norm = fingerprint(entry.build(), tuple(entry.input))
    expected = torch.tensor(entry.fingerprint.logits, dtype=torch.float64)
    torch.testing.assert_close(torch.tensor(logits, dtype=torch.float64), expected, rtol=1e-9, atol=0)
    assert norm == pytest.approx(entry.fingerprint.norm, rel=1e-9)


@pytest.mark.parametrize("entry", ALL, ids=lambda entry: entry.id)
def test_counts(entry):
    with torch.device("meta"):
        counted = count(entry.build(), tuple(entry.input))
    expected = entry.counts.model_dump(exclude_none=True)
    # Printed to 0.1 million, by a counter that also counts the additions of the last pooling.
    assert counted["multiply_adds"] / 1e6 == pytest.approx(
        expected.pop("mega_multiply_adds", counted["multiply_adds"] / 1e6), abs=0.06
    )
    assert {key: counted[key] for key in expected} == expected


@pytest.mark.parametrize("entry", [e for e in ALL if e.source == "pytorch_image_classification"], ids=lambda entry: entry.id)
def test_networks_start_as_they_did_in_the_system_that_published_them(entry):
    defaults = {p.name: p.default for p in inspect.signature(MODELS[entry.model["name"]]).parameters.values()} | entry.model
    assert defaults["init"] == ("fan_in" if entry.model["name"] == "wrn" else "fan_out")
    assert (defaults["linear_init"], defaults["linear_bias"]) == ("uniform", "zero")
    assert defaults["gamma"] == ("uniform" if entry.model["name"] in ("wrn", "vgg", "imagenet_vgg") else "one")


def test_a_fingerprint_sees_a_change_of_the_computation():
    (entry,) = (entry for entry in ALL if entry.id == "preact20")
    changed = entry.build()
    changed.stages[1][0].shared = False  # the shortcut no longer sees the pre-activation
    logits, _ = fingerprint(changed, (3, 32, 32))
    assert not torch.allclose(torch.tensor(logits), torch.tensor(entry.fingerprint.logits), rtol=1e-4)


@pytest.mark.parametrize("name", ["resnet", "densenet", "late_downsampling_resnet", "pyramidnet", "imagenet_densenet"])
def test_receptive_field_is_where_the_gradient_comes_from(name):
    """One feature of the last map, with all weights positive: the pixels that move it are a square of the counted side."""
    model = build(name, SMALLEST[name][0]).eval()
    side = count(model, (3, 64, 64))["receptive_field"]
    fill(model)
    for parameter in model.parameters():
        parameter.data.abs_().add_(1e-3)
    image = torch.rand(1, 3, 2 * side, 2 * side, requires_grad=True)
    out = model.stages(averages(model.stem)(image)).log()
    out[0, :, out.shape[2] // 2, out.shape[3] // 2].sum().backward()
    seen = image.grad.abs().sum((0, 1)) > 0
    assert seen.any(0).sum() == seen.any(1).sum() == side


def averages(stem: torch.nn.Module) -> torch.nn.Module:
    """The stem with its max pooling replaced: a maximum takes its gradient from one pixel only."""
    if not isinstance(stem, ImageNetStem):
        return stem
    return torch.nn.Sequential(stem.conv, stem.bn, torch.nn.AvgPool2d(3, stride=2, padding=1))


def test_the_fingerprint_command(tmp_path):
    (entry,) = (entry for entry in ALL if entry.id == "preact20-mnist")
    printed = json.loads(
        call(tmp_path, "reslab", "fingerprint", "{name: preact_resnet, depth: 20}", "--image", "1", "28", "28").stdout
    )
    assert printed["parameters"] == entry.counts.parameters
    assert printed["logit_norm"] == pytest.approx(entry.fingerprint.norm, rel=1e-9)
    done = call(tmp_path, "reslab", "fingerprint", "{name: preact_resnet, depth: 21}", check=False)
    assert done.stderr.startswith("error: model: depth 21 is impossible")
    done = call(tmp_path, "reslab", "fingerprint", "{name: resnet, depth: 8}", "--classes", "1000000000", check=False)
    assert done.stderr.startswith("error: model: too large for this machine's memory")
