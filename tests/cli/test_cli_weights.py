"""import-weights, export and predict, on the pipeline's own networks and on what users may give them."""

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from commands import reslab
from PIL import Image
from project import SMALL_PARAMS, call
from safetensors import safe_open
from safetensors.torch import load_file

from reslab.cli import imports
from reslab.cli import weights as cli
from reslab.data import prepared
from reslab.errors import UserError
from reslab.experiment.networks import build_network
from reslab.training import checkpoint
from reslab.weights.file import read_metadata, save_weights
from reslab.weights.network import load_network

NETWORK = "data/runs/plain-tau/seed0"


def as_published(state: dict) -> dict:
    """A tau-ResNet's state dict in the original's names, as DataParallel saves it."""
    theirs = {}
    for name, tensor in state.items():
        if name.startswith("stages."):
            _, stage, block, rest = name.split(".", 3)
            name = f"layer{int(stage) + 1}.{block}.{rest.replace('shortcut_bn', 'downsample.1')}"
        theirs["module." + name.replace("stem.conv", "conv1").replace("stem.bn", "bn1")] = tensor
    return {"net": theirs, "acc": 91.2}


def test_an_imported_network_scores_as_the_trained_one_it_was(trained, tmp_path, monkeypatch):
    monkeypatch.chdir(trained)
    state = load_file(trained / NETWORK / "model.safetensors")
    torch.save(as_published(state), tmp_path / "published.pt")
    output = tmp_path / "imported" / "plain-tau"
    command = ["import-weights", str(tmp_path / "published.pt"), "plain-tau", "--key-map", "tau-resnet"]
    printed = reslab(*command, "--output", str(output))
    assert printed.startswith(f"renamed {len(state) - 2} of {len(state)} tensors\n")
    assert printed.endswith(f"{output}/model.safetensors: tau_resnet, 75,098 parameters\n")
    imported = load_file(output / "model.safetensors")
    assert imported.keys() == state.keys()
    assert all(torch.equal(imported[name], state[name]) for name in state)
    described = read_metadata(output / "model.safetensors")
    assert described["imported"].keys() == {"checkpoint", "sha256", "key_map", "set", "proof"}
    *scores, note = reslab("score", str(output)).splitlines()
    assert scores == reslab("score", NETWORK).splitlines()
    assert note.startswith(f"{output}: imported, and not proven to compute what it did")


def test_export(trained, tmp_path, capsys):
    cli.export(trained / NETWORK, onnx=tmp_path / "a" / "x.onnx", safetensors=tmp_path / "b" / "x.safetensors")
    assert "opset 18; ONNX Runtime's logits differ from ours by at most" in capsys.readouterr().out
    classifier = load_network(trained / NETWORK).classifier
    pixels = torch.randint(256, (3, 1, 8, 8)).float()
    (logits,) = onnxruntime.InferenceSession(tmp_path / "a" / "x.onnx").run(None, {"pixels": pixels.numpy()})
    with torch.no_grad():
        expected = classifier(pixels)
        from_file = load_network(tmp_path / "b" / "x.safetensors").classifier(pixels)
    np.testing.assert_allclose(logits, expected.numpy(), atol=1e-4)
    assert torch.equal(from_file, expected)
    with safe_open(tmp_path / "b" / "x.safetensors", "pt") as file:
        assert json.loads(file.metadata()["reslab"])["config"]["model"]["name"] == "tau_resnet"


def test_export_wants_a_format(trained):
    with pytest.raises(UserError, match="nothing to write: give --onnx FILE or --safetensors FILE"):
        cli.export(trained / NETWORK)


def test_predict(trained, tmp_path):
    data = prepared.load(trained / "data" / "prepared")
    for i in range(2):
        Image.fromarray(data.test.images[i, 0]).save(tmp_path / f"{i}.png")
    Image.fromarray(data.test.images[0, 0]).convert("RGB").resize((40, 24)).save(tmp_path / "large.jpg")
    images = [str(tmp_path / name) for name in ("0.png", "1.png", "large.jpg")]
    done = call(trained, "reslab", "predict", NETWORK, *images, "--top", "3")
    lines = done.stdout.splitlines()
    assert done.stderr == ""
    assert lines[0].split() == ["image", "class", "probability"]
    assert [line.split()[0] for line in lines[2::3]] == images
    with torch.no_grad():
        logits = load_network(trained / NETWORK).classifier(torch.from_numpy(data.test.images[:2]).float())
    values, classes = logits.softmax(1).topk(3)
    shown = [line.split()[-2:] for line in lines[2:8]]
    assert shown == [
        [data.facts["class_names"][which], f"{value:.4f}"]
        for value, which in zip(values.flatten().tolist(), classes.flatten().tolist(), strict=True)
    ]


@pytest.fixture
def untrained(tmp_path):
    """A colour network of four classes as an import leaves it, and its folder."""
    facts = {"name": "x", "image_shape": [3, 8, 8], "class_names": ["a", "b", "c", "d"]}
    model = {"name": "tau_resnet", "depth": 8}
    description = {
        "config": {"model": model},
        "dataset": facts,
        "normalization": {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.2, 0.2]},
    }
    folder = tmp_path / "untrained"
    folder.mkdir()
    save_weights(folder / "model.safetensors", build_network(model, facts, seed=0), description)
    return folder


def test_predict_names_all_classes_where_there_are_fewer_than_asked(untrained, tmp_path, capsys):
    Image.new("L", (5, 5), 100).save(tmp_path / "grey.png")
    cli.predict(untrained, [tmp_path / "grey.png"], top=5)
    lines = capsys.readouterr().out.splitlines()
    assert sorted(line.split()[-2] for line in lines[2:]) == ["a", "b", "c", "d"]
    assert sum(float(line.split()[-1]) for line in lines[2:]) == pytest.approx(1, abs=1e-3)


def test_predict_names_what_it_cannot_read(untrained, tmp_path):
    (tmp_path / "notes.txt").write_text("not an image")
    with pytest.raises(UserError, match=r"cannot read image '.*notes\.txt'"):
        cli.predict(untrained, [tmp_path / "notes.txt"])
    done = call(tmp_path, "reslab", "predict", "untrained", "nowhere.png", check=False)
    assert (done.returncode, done.stderr) == (1, "error: nowhere.png: no such file\n")


def test_what_is_no_network_is_refused(untrained, tmp_path):
    with pytest.raises(UserError, match=r"nowhere: no such folder; trained networks are in data/runs"):
        load_network(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"no model\.safetensors in it"):
        load_network(tmp_path)
    weights = untrained / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-8])
    with pytest.raises(UserError, match=r"model\.safetensors: cannot read the network's description"):
        load_network(untrained)


@pytest.fixture
def project_with_images(tmp_path, small_images, monkeypatch):
    """A folder with params.yaml and a prepared dataset of four classes in colour; nothing is trained."""
    (tmp_path / "params.yaml").write_text(SMALL_PARAMS)
    prepared.save(small_images, tmp_path / "data" / "prepared", name="digits", validation=0)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_importing_again_replaces_the_network(project_with_images, untrained, capsys):
    state = load_file(untrained / "model.safetensors")
    for value in (1.0, 2.0):
        torch.save(as_published(state | {"fc.bias": torch.full((4,), value)}), "x.pt")
        imports.import_weights(project_with_images / "x.pt", "plain-tau", "tau-resnet", force=value == 2.0)
    folder = project_with_images / "data" / "imported" / "plain-tau"
    assert [path.name for path in folder.iterdir()] == ["model.safetensors"]
    assert load_file(folder / "model.safetensors")["fc.bias"].tolist() == [2.0] * 4
    described = read_metadata(folder / "model.safetensors")
    facts = prepared.load(project_with_images / "data" / "prepared").facts
    assert described["dataset"]["class_names"] == ["a", "b", "c", "d"]
    assert described["normalization"] == {"mean": facts["mean"], "std": facts["std"]}
    Image.new("RGB", (8, 8)).save("x.png")
    cli.predict(folder, [project_with_images / "x.png"])
    cli.score(folder)


def test_what_cannot_be_imported_is_named_and_nothing_is_written(project_with_images, untrained):
    torch.save(as_published(load_file(untrained / "model.safetensors")), "x.pt")
    arguments = {
        ("x.pt", "plain-tua", "tau-resnet"): r"^experiments: unknown name 'plain-tua' \(did you mean 'plain-tau'\?\)",
        ("x.pt", "plain-tau", "tau"): "key map: unknown name 'tau'",
        ("y.pt", "plain-tau", "tau-resnet"): r"^y\.pt: no such file$",
        ("x.pt", "own-tau", "tau-resnet"): (
            r"^x\.pt as own-tau through the key map tau-resnet: the checkpoint does not fit the network: 13 missing: tau, "
        ),
        ("x.pt", "plain-tau", "tau-resnet-nobn"): r"^x\.pt as plain-tau .*: tied\[0\]: .* matches no tensor of the checkpoint",
    }
    for (path, name, key_map), message in arguments.items():
        with pytest.raises(UserError, match=message):
            imports.import_weights(Path(path), name, key_map)
    assert not (project_with_images / "data" / "imported").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"config": {}}, "metadata.config: missing key 'model'"),
        ({"config": {"model": {}, "train": {"precision": "half"}}}, "metadata.config.train.precision: 'half' is not allowed"),
        ({"config": [1]}, r"metadata.config: \[1\] is not allowed"),
        ({"dataset": {}}, "metadata.dataset: missing key 'image_shape'"),
        ({"normalization": {"mean": [0.5]}}, "metadata.normalization: missing key 'std'"),
        ({"normalization": {"mean": [0.5, 0.5], "std": [1.0, 1.0]}}, "expected 1 numbers each"),
    ],
)
def test_metadata_that_does_not_describe_a_network_is_named(tmp_path, change, message):
    model = {"name": "resnet", "depth": 8}
    facts = {"image_shape": [1, 8, 8], "class_names": ["a", "b"]}
    described = {"config": {"model": model}, "dataset": facts, "normalization": {"mean": [0.5], "std": [1.0]}}
    network = build_network(model, facts, seed=0)
    path = tmp_path / "model.safetensors"
    save_weights(path, network, described)
    load_network(path)
    save_weights(path, network, described | change)
    with pytest.raises(UserError, match=message):
        load_network(path)


def test_a_folder_is_no_file_to_write(tmp_path):
    with pytest.raises(UserError, match="is a folder, not a file"):
        checkpoint.replace_file(tmp_path, lambda draft: None)
