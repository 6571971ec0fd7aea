"""`model.init_from`: training starts from stored weights, the classifier drawn anew where the classes differ."""

import pytest
import torch
from facts import random_images
from project import SMALL_PARAMS

from reslab import config
from reslab.errors import UserError
from reslab.experiment.assemble import assemble
from reslab.experiment.bound import bound
from reslab.experiment.check import checked
from reslab.experiment.description import description
from reslab.experiment.networks import build_network
from reslab.experiment.start import Start, notes
from reslab.weights.file import save_weights
from reslab.weights.network import load_network

MODEL = {"name": "tau_resnet", "depth": 8}
DATA = random_images("digits", count=40)
CLASSES = DATA.facts["class_names"]
HEAD = ["fc.weight", "fc.bias"]


def stored(path, classes=CLASSES, model=MODEL, channels=1):
    """A network with the description that train leaves."""
    facts = {"name": "other", "image_shape": [channels, 8, 8], "class_names": list(classes)}
    network = build_network(model, facts, seed=7)
    constants = {"mean": [0.5] * channels, "std": [0.2] * channels}
    path.mkdir(parents=True, exist_ok=True)
    save_weights(path / "model.safetensors", network, {"config": {"model": model}, "dataset": facts, "normalization": constants})
    return network.state_dict()


def experiment(start, **model) -> config.Experiment:
    found = config.parse_yaml(SMALL_PARAMS)
    sections = {key: found[key] for key in config.SECTIONS} | {"model": MODEL | {"init_from": start} | model}
    return config.from_sections("it", sections)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_training_starts_from_the_weights(tmp_path):
    theirs = stored(tmp_path / "net")
    for start in ("net", "net/model.safetensors", str(tmp_path / "net"), {"path": "net"}):
        run = assemble(bound(experiment(start)), DATA, seed=0, device=torch.device("cpu"))
        assert all(torch.equal(tensor, theirs[name]) for name, tensor in run.model.state_dict().items())


@pytest.mark.parametrize("classes", [["a", "b"], [f"other {name}" for name in CLASSES]])
def test_other_classes_get_a_classifier_of_their_own(tmp_path, classes):
    """Also as many others: output 3 then stands for something else."""
    theirs, made = stored(tmp_path / "net", classes), bound(experiment("net"))
    ours, fresh = made.network(DATA.facts, seed=0).state_dict(), build_network(MODEL, DATA.facts, seed=0).state_dict()
    assert all(torch.equal(ours[name], (fresh if name in HEAD else theirs)[name]) for name in ours)
    assert made.start_facts(DATA.facts) == {"classes": len(classes), "not_taken": HEAD}
    checked(experiment("net"), DATA.facts | {"validation": 0, "test": 40})
    first, second = made.start_notes(DATA.facts | {"mean": [0.25]})
    assert first == f"starts from net but for fc.weight, fc.bias, which are drawn anew: it has {len(classes)} other classes"
    assert second.startswith("its images were normalised otherwise (mean [0.5]; std [0.2])")
    assert len(made.start_notes(DATA.facts)) == 1


def test_the_checksum_is_part_of_the_description_and_another_file_is_refused(tmp_path):
    stored(tmp_path / "net")
    described = description(experiment("net"), DATA)
    known = described["config"]["model"]["init_from"]
    assert known["path"] == "net"
    assert len(known["sha256"]) == 64
    assert described["init_from"] == {"classes": 10, "not_taken": []}
    plain = description(config.from_sections("it", experiment("net").sections | {"model": MODEL}), DATA)
    assert plain["trace"] != described["trace"]
    assert plain["config"]["model"] == MODEL
    with pytest.raises(UserError, match="init_from: net is another file than the one of sha256 00000000"):
        bound(experiment({"path": "net", "sha256": "0" * 64})).network(DATA.facts, seed=0)


def test_what_was_fine_tuned_needs_its_start_no_more(tmp_path):
    stored(tmp_path / "net")
    path = tmp_path / "tuned" / "model.safetensors"
    path.parent.mkdir()
    made = description(experiment("net"), DATA)
    constants = {"mean": [0.5], "std": [0.2]}
    network = build_network(MODEL | {"init_from": "net"}, DATA.facts, seed=0)
    save_weights(path, network, {"config": made["config"], "dataset": DATA.facts, "normalization": constants})
    (tmp_path / "net" / "model.safetensors").unlink()
    assert load_network(path.parent).classifier(torch.zeros(1, 1, 8, 8)).shape == (1, 10)


@pytest.mark.parametrize(
    ("start", "said"),
    [
        ("nowhere", "model.init_from: nowhere: no network there"),
        (3, "model.init_from: 3 is not allowed"),
        ({"pth": "net"}, "model.init_from: unknown key 'pth' .did you mean 'path'"),
        ("deeper", "model.init_from: .*deeper.* is not of this network; .* unknown here: stages"),
        ("colour", r"1 of another shape: stem.conv.weight \[16, 3, 3, 3\], here \[16, 1, 3, 3\]"),
        ("damaged", "cannot be started from"),
        ("text.pt", "cannot be started from .*import-weights"),
    ],
)
def test_what_cannot_be_started_from(tmp_path, start, said):
    stored(tmp_path / "deeper", model=MODEL | {"depth": 14})
    stored(tmp_path / "colour", channels=3)
    stored(tmp_path / "damaged")
    (tmp_path / "text.pt").write_text("no weights")
    file = tmp_path / "damaged" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(UserError, match=said) as raised:
        bound(experiment(start)).network(DATA.facts, seed=0)
    assert len(str(raised.value).splitlines()) == 1


@pytest.mark.parametrize("said", [None, 3, [], {}, {"mean": [0.5]}, {"mean": "a", "std": None}, {"mean": [[0.5]], "std": ["x"]}])
def test_a_start_that_does_not_say_its_normalisation_is_noted(tmp_path, said):
    network = build_network(MODEL, DATA.facts, seed=7)
    (tmp_path / "net").mkdir()
    save_weights(
        tmp_path / "net/model.safetensors", network, {"config": {"model": MODEL}, "dataset": DATA.facts, "normalization": said}
    )
    notes = bound(experiment("net")).start_notes(DATA.facts | {"mean": [0.25], "std": [0.5]})
    assert notes[1] == "its file does not say how its images were normalised"


@pytest.mark.parametrize("number", [10**400, -(10**400), True, float("nan"), float("inf"), "1", None])
def test_what_is_no_number_is_no_normalisation(number):
    """In a stranger's description, which is JSON: a whole number there may have any length."""
    theirs = {"mean": [0.5], "std": [number]}
    said = notes(Start("net", "", {}, [], theirs), [], [0.5], [0.2])
    assert said[1] == "its file does not say how its images were normalised"
