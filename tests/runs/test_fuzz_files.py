"""Random damage to the files of runs: each is refused by name with the mend, or gives exactly what was written."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from damage import damaged
from feeds import Given
from fuzzing import fuzz
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from reslab.data import prepared
from reslab.data.prepared.splits import Arrays, Dataset
from reslab.errors import UserError
from reslab.experiment.bound import make_schedule
from reslab.report import predictions
from reslab.report.predictions import Predictions
from reslab.runs import network_files, records
from reslab.training import checkpoint
from reslab.training.log import Log
from reslab.training.losses import cross_entropy
from reslab.training.optim.optimizers import sgd
from reslab.training.schedule.schedules import Budget
from reslab.training.step import TrainingStep
from reslab.weights.file import load_weights, read_metadata, save_weights

RECORD = {"identity": "abc", "seed": 0, "status": "finished", "test_error": 0.25, "tau": None, "config": {"model": {"depth": 8}}}
HISTORY = [{"epoch": epoch, "lr": 0.1, "train_loss": 1 / epoch, "test_error": 0.5 / epoch} for epoch in range(1, 6)]
MENDS = ("dvc repro", "run the same command", "to train this seed from the start")
OWNER = "seed 0 of abc"


def refused_or_equal(path: Path, content: bytes, read: Callable[[], object], expected: object) -> bool:
    """Put damaged content into the file and read it; say whether it was refused."""
    path.write_bytes(content)
    try:
        found = read()
    except UserError as error:
        assert path.name in str(error) or str(path.parent) in str(error), error
        assert any(mend in str(error) for mend in MENDS), error
        assert len(str(error).replace(str(path), "")) < 400, error
        return True
    assert plain(found) == plain(expected)
    return False


def plain(value: object) -> object:
    """A value that can be compared: arrays as type, shape and bytes."""
    if isinstance(value, torch.Tensor):
        value = value.numpy()
    if isinstance(value, np.ndarray):
        return str(value.dtype), value.shape, value.tobytes()
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else repr(value)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Linear(3, 2)


def network_folder(folder: Path) -> Path:
    """What train leaves of a network."""
    folder.mkdir(parents=True, exist_ok=True)
    listed = {
        "model.safetensors": save_weights(folder / "model.safetensors", network(), {"config": {"model": {"name": "x"}}}),
        "history.csv": records.write_history(folder / "history.csv", HISTORY),
    }
    records.write_record(folder / "record.json", RECORD | {"checksums": listed})
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return network_folder(tmp_path_factory.mktemp("network"))


@pytest.mark.parametrize("name", ["record.json", "history.csv"])
@given(data=st.data())
@fuzz(300)
def test_records_and_histories(folder, name, data):
    whole = (folder / name).read_bytes()
    try:
        expected = network_files.read(folder)
        content = data.draw(damaged(whole))
        refused = refused_or_equal(folder / name, content, lambda: network_files.read(folder), expected)
        assert refused or name == "record.json" or content == whole
    finally:
        (folder / name).write_bytes(whole)


@given(data=st.data())
@fuzz(300)
def test_weights(folder, data):
    path = folder / "model.safetensors"
    whole, expected = path.read_bytes(), (read_metadata(path), network().state_dict())

    def read() -> tuple:
        network_files.check_finished(folder, identity="abc", seed=0)
        loaded = nn.Linear(3, 2)
        load_weights(path, loaded)
        return read_metadata(path), loaded.state_dict()

    try:
        content = data.draw(damaged(whole))
        assert refused_or_equal(path, content, read, expected) or content == whole
    finally:
        path.write_bytes(whole)


@given(data=st.data())
@fuzz(300)
def test_predictions(tmp_path, data):
    path = tmp_path / "test.safetensors"
    made = Predictions(np.eye(3, dtype=np.float32), np.arange(3), ["cat", "true", "(none)"])
    checksum = predictions.save(path, made)
    content = data.draw(damaged(path.read_bytes()))
    for expected in (None, checksum):
        refused = refused_or_equal(path, content, lambda e=expected: vars(predictions.load(path, e)), vars(made))
        predictions.save(path, made)
        assert refused or content == path.read_bytes()


def training() -> tuple:
    model = network()
    step = TrainingStep(model, sgd(model, lr=0.1, momentum=0.9), cross_entropy(), Given(lambda epoch: []))
    return step, make_schedule({"name": "constant"}, Budget(1, 1))


@pytest.fixture(scope="module")
def generations(tmp_path_factory) -> list[tuple[bytes, dict]]:
    """Two checkpoints of a run, each with what it holds."""
    path, made = tmp_path_factory.mktemp("checkpoints") / "checkpoint.pt", []
    step, schedule = training()
    for number in range(2):
        with torch.no_grad():
            step.model.weight.fill_(number)
        checkpoint.save(path, step, schedule, Log(started=1.0, seconds=float(number)), owner=OWNER)
        made.append((path.read_bytes(), plain(checkpoint.read(path))))
    assert checkpoint.before(path).read_bytes() == made[0][0]
    return made


@given(data=st.data())
@fuzz(300)
def test_checkpoints(generations, tmp_path, capsys, data):
    """What is restored is the newest or the one before, to the bit, and only whole ones."""
    path, ((earlier, _), (newest, _)) = tmp_path / "checkpoint.pt", generations
    content, both = data.draw(damaged(newest)), data.draw(st.booleans())
    path.write_bytes(content)
    checkpoint.before(path).write_bytes(content if both else earlier)
    step, schedule = training()
    untouched = plain(step.model.state_dict())
    if both and content != newest:
        with pytest.raises(UserError, match=r"checkpoint\.pt: damaged checkpoint .* to train this seed from the start"):
            checkpoint.restore(path, step, schedule, owner=OWNER)
        assert plain(step.model.state_dict()) == untouched
        return
    log = checkpoint.restore(path, step, schedule, owner=OWNER)
    expected = generations[content == newest][1]
    assert plain(step.model.state_dict()) == expected["model"]
    assert repr(log.seconds) == expected["log"]["seconds"]
    assert ("going on from the one before" in capsys.readouterr().err) == (content != newest)


@pytest.fixture(scope="module")
def stored(tmp_path_factory) -> tuple[Path, object]:
    """A few prepared images in memory."""
    place = tmp_path_factory.mktemp("prepared")
    images = np.random.default_rng(0).integers(0, 256, (12, 1, 2, 2), dtype=np.uint8)
    labels = np.arange(12, dtype=np.int64) % 2
    prepared.save(
        Dataset(Arrays(images[:8], labels[:8]), Arrays(images[8:], labels[8:]), ["a", "b"]), place, name="x", validation=2
    )
    return place, everything(place)


def everything(place: Path) -> object:
    data = prepared.load(place)
    return data.facts, [vars(split) for split in (data.train, data.validation, data.test)]


@pytest.mark.filterwarnings("error")
@given(data=st.data())
@fuzz(500)
def test_prepared_arrays(stored, data):
    place, expected = stored
    path = data.draw(st.sampled_from(sorted(place.iterdir())))
    whole = path.read_bytes()
    try:
        content = data.draw(damaged(whole))
        refused = refused_or_equal(path, content, lambda: everything(place), expected)
        assert refused or path.suffix == ".json" or content == whole
    finally:
        path.write_bytes(whole)
