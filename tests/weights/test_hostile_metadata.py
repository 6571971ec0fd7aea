"""Descriptions in a stranger's safetensors file that ask for more than the file can be: refused before anything is built."""

import copy
import json

import pytest
from fuzzing import fuzz
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from reslab.errors import UserError
from reslab.experiment.networks import build_network
from reslab.weights import check
from reslab.weights.network import load_network

MODEL = {"name": "resnet", "depth": 8}
FACTS = {"name": "x", "image_shape": [3, 8, 8], "class_names": ["a", "b"]}
DESCRIBED = {
    "config": {"model": MODEL, "train": {"precision": "float32"}},
    "dataset": FACTS,
    "normalization": {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.2, 0.2]},
}
STATE = build_network(MODEL, FACTS, seed=0).state_dict()
LONGEST_MESSAGE = 900


def written(path, text: str):
    save_file(STATE, path, metadata={"reslab": text})
    return path


def changed(value: object, *place: str) -> str:
    described = copy.deepcopy(DESCRIBED)
    inner = described
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    return json.dumps(described)


def model(**options) -> str:
    return changed(options, "config", "model")


HOSTILE = {
    "nested lists": "[" * 100_000,
    "nested mappings": '{"a":' * 5000 + "1" + "}" * 5000,
    "nested depth": model(name="resnet", depth=8).replace('"depth": 8', '"depth": ' + "[" * 900 + "1" + "]" * 900),
    "a number of 5,000 digits": model(name="resnet", depth=8).replace('"depth": 8', '"depth": ' + "9" * 5000),
    "a depth": model(name="resnet", depth=6 * 10**8 + 2),
    "a negative depth": model(name="resnet", depth=-(10**9)),
    "blocks": model(name="imagenet_resnet", block="basic", blocks=[10**9] * 8),
    "blocks within the bounds": model(name="imagenet_resnet", block="basic", blocks=[3000]),
    "layers": model(name="vgg", layers=[10**9] * 5),
    "a width": model(name="resnet", depth=8, width=4096),
    "a widening factor": model(name="wrn", depth=10, widening_factor=10**9),
    "a growth": model(name="pyramidnet", depth=8, alpha=1e300),
    "groups": model(name="resnext", depth=11, cardinality=4096, base_width=4096),
    "hidden units": model(name="imagenet_vgg", depth=11, hidden=4096),
    "a rule": model(name="tau_resnet", depth=8, tau="(" * 5000),
    "a name": model(name="x" * 10**6),
    "an option": model(**{"name": "resnet", "depth": 8, "y" * 10**6: 1}),
    "classes": changed(["c"] * 10**6, "dataset", "class_names"),
    "a long class": changed(["c" * 10**6, "b"], "dataset", "class_names"),
    "a large image": changed([3, 10**9, 10**9], "dataset", "image_shape"),
    "half a character": changed(["\ud800", "b"], "dataset", "class_names"),
    "a ragged mean": changed([[[0.5], [0.5, 0.4]]] * 3, "normalization", "mean"),
    "a mean of another shape": changed([[[0.5] * 9] * 8] * 3, "normalization", "mean"),
    "a mean that is no number": changed([float("nan")] * 3, "normalization", "mean"),
    "a std of infinity": changed([float("inf")] * 3, "normalization", "std"),
    "many brackets": json.dumps("[" * 400_000),
    "many keys": "{" + ",".join(f'"{i}":0' for i in range(400_000)) + "}",
    "a long text": json.dumps("x" * 12_000_000),
    "nothing": "",
    "a list": "[]",
    "null": "null",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_what_asks_for_more_is_refused_before_anything_is_built(tmp_path, monkeypatch, kind):
    built = []
    real = check.build_stored_network
    monkeypatch.setattr("reslab.weights.network.build_stored_network", lambda *arguments, **options: built.append(arguments))
    monkeypatch.setattr(check, "build_stored_network", real)  # on the meta device, without memory
    path = written(tmp_path / "model.safetensors", HOSTILE[kind])
    with pytest.raises(UserError) as caught:
        load_network(path)
    assert built == []
    assert "\n" not in str(caught.value) and len(str(caught.value)) < LONGEST_MESSAGE + len(str(path))


def test_the_description_as_it_should_be_is_read(tmp_path):
    assert load_network(written(tmp_path / "model.safetensors", json.dumps(DESCRIBED))).facts == FACTS
    mean_image = changed([[[0.5] * 8] * 8] * 3, "normalization", "mean")
    assert load_network(written(tmp_path / "model.safetensors", mean_image)).classifier.mean.shape == (3, 8, 8)


PLACES = [
    ("config",),
    ("config", "model"),
    ("config", "model", "depth"),
    ("config", "model", "name"),
    ("config", "train", "precision"),
]
PLACES += [
    ("dataset",),
    ("dataset", "image_shape"),
    ("dataset", "class_names"),
    ("normalization", "mean"),
    ("normalization", "std"),
]
numbers = st.integers(-(10**30), 10**30) | st.floats() | st.sampled_from([0, 2, 3, 8, 20, 10**9])
scalars = (
    st.none() | st.booleans() | numbers | st.text(max_size=5) | st.sampled_from(["resnet", "wrn", "vgg", "tau_resnet", "float64"])
)
keys = st.sampled_from(["name", "depth", "width", "blocks", "shortcut", "tau"]) | st.text(max_size=3)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4), max_leaves=8)


@fuzz(300)
@given(place=st.sampled_from(PLACES), value=values)
def test_any_description_is_used_or_refused_in_one_line(place, value, tmp_path_factory):
    path = written(tmp_path_factory.getbasetemp() / "model.safetensors", changed(value, *place))
    try:
        load_network(path)
    except UserError as error:
        assert "\n" not in str(error) and len(str(error)) < LONGEST_MESSAGE + len(str(path))
