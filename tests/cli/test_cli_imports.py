"""import-weights without a dataset, with proofs and with classes in another order; and `tensors`."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from akamaster import Akamaster
from checkpoints import randomized
from PIL import Image
from project import SMALL_PARAMS, call

from reslab import config
from reslab.cli import imports
from reslab.cli import weights as cli
from reslab.data import prepared
from reslab.data.prepared.splits import Arrays, Dataset
from reslab.errors import UserError
from reslab.weights.file import read_metadata
from reslab.weights.network import load_network

CONSTANTS = {"name": "constants", "mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.25]}
MEAN, STD = torch.tensor([0.4, 0.5, 0.6])[:, None, None], torch.tensor([0.2, 0.3, 0.25])[:, None, None]
NAMES = [f"class {letter}" for letter in "abcdefghij"]


@pytest.fixture
def theirs(tmp_path, monkeypatch) -> Akamaster:
    """A folder with params.yaml, a checkpoint as pytorch_resnet_cifar10 publishes it, and no dataset; and the network itself."""
    monkeypatch.chdir(tmp_path)
    resnet = {"name": "resnet", "depth": 14}
    document = config.parse_yaml(SMALL_PARAMS) | {"dataset": {"name": "cifar10"}, "normalize": CONSTANTS, "model": resnet}
    document["experiments"] = {"it": {"model": {"shortcut": "A_both_sides"}}, "after": {}}
    (tmp_path / "params.yaml").write_text(json.dumps(document))
    (tmp_path / "classes.txt").write_text("\n".join(NAMES))
    network = randomized(Akamaster(14)).float()
    state = {f"module.{name}": tensor for name, tensor in network.state_dict().items()}
    torch.save({"state_dict": state, "best_prec1": 91.7}, "x.th")
    return network


@torch.no_grad()
def answers(network: torch.nn.Module, pixels: torch.Tensor) -> torch.Tensor:
    return network((pixels / 255 - MEAN) / STD)


def run(experiment: str = "it", **options) -> None:
    given = {"classes": Path("classes.txt"), "output": Path("out")} | options
    imports.import_weights(Path("x.th"), experiment, "pytorch-resnet-cifar10", **given)


def pixels(count: int = 5) -> torch.Tensor:
    return torch.randint(256, (count, 3, 32, 32), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def test_no_dataset_is_needed_to_import_and_predict(theirs, tmp_path, capsys):
    run()
    said = capsys.readouterr().out.splitlines()
    assert "output 9 is class class j" in said
    assert said[-2].startswith("not proven: names and shapes fit")
    image = pixels(1)
    Image.fromarray(image[0].permute(1, 2, 0).numpy()).save("x.png")
    cli.predict(tmp_path / "out", [tmp_path / "x.png"], top=1)
    best = NAMES[answers(theirs, image)[0].argmax()]
    assert best in capsys.readouterr().out
    described = read_metadata(tmp_path / "out" / "model.safetensors")
    assert described["dataset"] == {"name": "cifar10", "class_names": NAMES, "image_shape": [3, 32, 32]}
    assert (described["imported"]["set"], described["imported"]["proof"]) == ("state_dict", None)


@pytest.mark.parametrize("kind", ["images", "inputs"])
def test_reference_logits_prove_it(theirs, tmp_path, capsys, kind):
    image = pixels()
    given = image if kind == "images" else (image / 255 - MEAN) / STD
    torch.save({kind: given, "logits": answers(theirs, image)}, "reference.pt")
    run(reference=tmp_path / "reference.pt")
    said = capsys.readouterr().out.splitlines()[-2]
    assert said.startswith(f"proven: the logits of 5 reference {kind} differ by at most ")
    assert said.endswith("so that the normalization here is not proven") == (kind == "inputs")
    assert read_metadata(tmp_path / "out" / "model.safetensors")["imported"]["proof"]["count"] == 5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda image, logits: {"images": image, "logits": logits * 1.01}, "the logits differ by up to .*: not the same network"),
        (lambda image, logits: {"images": image, "logits": logits.flip(1)}, "the same numbers in another order: .* see --classes"),
        (lambda image, logits: {"images": image, "logits": logits[:, :9]}, r"logits are \[5, 9\], the network's \[5, 10\]"),
        (lambda image, logits: {"images": image, "logits": logits * 0}, "not all the same number: that would prove nothing"),
        (lambda image, logits: {"images": image, "logits": logits * float("nan")}, "NaN or infinity in it"),
        (lambda image, logits: {"images": image / 255, "logits": logits}, "images must be pixels 0..255; .* they are `inputs`"),
        (
            lambda image, logits: {"images": image.permute(0, 2, 3, 1), "logits": logits},
            r"images are \[5, 32, 32, 3\], the network takes",
        ),
        (lambda image, logits: {"images": image[:0], "logits": logits[:0]}, r"images are \[0, 3, 32, 32\]"),
        (lambda image, logits: {"images": image.numpy(), "logits": logits}, "expected a mapping with `logits`"),
        (lambda image, logits: {"images": image}, "expected a mapping with `logits`"),
        (lambda image, logits: [image, logits], "expected a mapping with `logits`"),
    ],
)
def test_a_reference_that_does_not_agree_is_refused_and_nothing_is_written(theirs, tmp_path, change, message):
    torch.save(change(pixels(), answers(theirs, pixels())), "reference.pt")
    with pytest.raises(UserError, match=message):
        run(reference=tmp_path / "reference.pt")
    assert not (tmp_path / "out").exists()


def test_the_padding_elsewhere_fits_and_is_found_out(theirs, tmp_path):
    torch.save({"images": pixels(), "logits": answers(theirs, pixels())}, "reference.pt")
    run("after", output=tmp_path / "unproven")  # 97 of 97 tensors fit
    with pytest.raises(UserError, match=r"not the same network; look at .*shortcut: A or A_both_sides"):
        run("after", reference=tmp_path / "reference.pt")


def test_a_network_is_not_replaced_without_force(theirs, tmp_path):
    run()
    before = (tmp_path / "out" / "model.safetensors").read_bytes()
    with pytest.raises(UserError, match=r"out/model\.safetensors: there is a network already; pass --force to replace it"):
        run("after")
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == before
    run("after", force=True)
    assert (tmp_path / "out" / "model.safetensors").read_bytes() != before


@pytest.fixture
def with_data(theirs, tmp_path):
    """The same with a prepared dataset of 20 test images, whose classes stand in another order than the outputs."""
    order = np.roll(np.arange(10), 3)  # of the dataset's classes, the number of the output
    names = [NAMES[number] for number in order]
    images = pixels(50).numpy()
    labels = np.argsort(order)[answers(theirs, torch.from_numpy(images)).argmax(1).numpy()]
    labels[:5] = (labels[:5] + 1) % 10  # five of the test images answered wrongly
    training = Arrays(images, np.arange(50) % 10)
    dataset = Dataset(training, Arrays(images[:20], labels[:20]), names)
    prepared.save(dataset, tmp_path / "data" / "prepared", name="cifar10", validation=0)
    return theirs


def test_an_expected_error_proves_it_whatever_the_order_of_the_classes(with_data, tmp_path, capsys):
    run(expected_error="25%")
    assert "proven: the error on test is 25.00% of 20 images, as expected (25%)" in capsys.readouterr().out
    cli.score(tmp_path / "out")
    assert capsys.readouterr().out.splitlines()[-1].split()[:3] == ["test", "20", "25.00"]
    proof = read_metadata(tmp_path / "out" / "model.safetensors")["imported"]["proof"]
    assert (proof["error"], proof["split"]) == (0.25, "test")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"expected_error": "20%"}, r"the error on test is 25\.00% \(5 of 20 images\), not 20%: not the same network"),
        ({"expected_error": "0.2"}, r"not 0\.2: not the same network"),
        ({"expected_error": "25"}, "--expected-error: 25 is no error; write it as 8.57% or as 0.0857"),
        ({"expected_error": "nan"}, "--expected-error: nan is no error"),
        ({"expected_error": "101%"}, "--expected-error: 101% is no error"),
        ({"expected_error": "25%", "split": "validation"}, "--split: unknown split 'validation'; allowed: test"),
        ({"classes": None}, "the error on test is .*, not 25%: not the same network; .* and the order of the classes"),
    ],
)
def test_an_expected_error_that_is_not_met_is_refused(with_data, tmp_path, options, message):
    options = {"expected_error": "25%"} | options
    with pytest.raises(UserError, match=message):
        run(**options)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": None}, r"data/prepared: no prepared dataset .*: name the outputs by --classes FILE"),
        ({"classes": None, "image": (3, 32, 32)}, "--image: name the outputs by --classes FILE"),
        ({"expected_error": "8%"}, "--expected-error is measured on the prepared dataset, and there is none"),
        ({"image": (1, 32, 32)}, "mean .* expected 1 numbers each|is 16x3x3x3, the network's 16x1x3x3"),
    ],
)
def test_what_is_missing_without_a_dataset_is_named(theirs, options, message):
    with pytest.raises(UserError, match=message):
        run(**options)


def test_constants_of_images_that_are_not_there_are_asked_for(theirs, tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"normalize": {"name": "computed"}}))
    with pytest.raises(
        UserError, match=r"normalize\.name: computed needs a prepared dataset, and there is none; give the constants"
    ):
        run()


def test_a_network_that_is_not_proven_is_scored_with_a_word(with_data, tmp_path, capsys):
    run()
    cli.score(tmp_path / "out")
    assert "imported, and not proven to compute what it did where it comes from" in capsys.readouterr().err
    run(expected_error="25%", force=True)
    cli.score(tmp_path / "out")
    assert capsys.readouterr().err == ""


def test_tensors_of_ours_of_theirs_and_of_an_import(theirs, tmp_path, capsys):
    run()
    capsys.readouterr()
    imports.tensors("it")
    ours = capsys.readouterr().out.splitlines()
    assert ours[0].split() == ["stem.conv.weight", "16x3x3x3"]
    assert ours[-1] == "80 tensors"
    imports.tensors("{name: resnet, depth: 14, shortcut: A_both_sides}")
    assert capsys.readouterr().out.splitlines() == ours
    imports.tensors("x.th")
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "of state_dict"
    assert told[1].split() == ["conv1.weight", "16x3x3x3"]
    imports.tensors("out")
    told = capsys.readouterr().out.splitlines()
    assert sorted(told[:81]) == sorted(ours) and told[81] == "output 0 is class class a"


def test_tensors_says_what_it_cannot_find(theirs, tmp_path):
    (tmp_path / "text.pt").write_text("no weights")
    done = call(tmp_path, "reslab", "tensors", "text.pt", check=False)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    for what, message in {
        "nothing": "experiments: unknown name 'nothing'",
        "{name: resnet, depth: 9}": "model: depth 9 is impossible",
    }.items():
        with pytest.raises(UserError, match=message):
            imports.tensors(what)


def test_numbered_folders_ask_for_the_order(theirs, tmp_path):
    """As in the case: outputs 0..10 count, folders are sorted as text, and 27 % became 91 %."""
    facts = tmp_path / "data" / "prepared" / "dataset.json"
    split = Arrays(pixels(22).numpy(), np.arange(22) % 11)
    prepared.save(Dataset(split, split, sorted(map(str, range(11)))), facts.parent, name="cifar10", validation=0)
    with pytest.raises(UserError, match=r"in the order 0, 1, 10, 2, .*give --classes FILE"):
        run(classes=None)
    assert json.loads(facts.read_text())["class_names"][2] == "10"


def test_the_stored_network_is_theirs(theirs, tmp_path):
    run()
    with torch.no_grad():
        found = load_network(tmp_path / "out").classifier(pixels().float())
    torch.testing.assert_close(found, answers(theirs, pixels()), rtol=1e-4, atol=1e-4)
