"""Checkpoints and weights on disk: whole or not at all, equal bytes for equal weights, bad files refused by name."""

import errno
import os

import numpy as np
import pytest
import torch
from feeds import Given
from torch import nn

from reslab.errors import UserError, one_line
from reslab.experiment.bound import make_schedule
from reslab.report import predictions
from reslab.training import checkpoint
from reslab.training.log import Log
from reslab.training.losses import cross_entropy
from reslab.training.optim.optimizers import sgd
from reslab.training.schedule.schedules import Budget
from reslab.training.step import TrainingStep
from reslab.weights.file import load_weights, read_metadata, save_weights


def parts():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4)).to(memory_format=torch.channels_last)
    step = TrainingStep(model, sgd(model, lr=0.1, momentum=0.9), cross_entropy(), Given(lambda epoch: []))
    return step, make_schedule({"name": "constant"}, Budget(1, 1))


def test_a_failed_write_keeps_the_old_file(tmp_path):
    path = tmp_path / "x"
    path.write_text("old")

    def fail(draft):
        draft.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left") as caught:
        checkpoint.replace_file(path, fail)
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["x"]
    assert "free some space and run the same command again" in one_line(caught.value)


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_weights_and_predictions_have_the_mode_of_other_files(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        save_weights(tmp_path / "model.safetensors", parts()[0].model, {})
        predictions.save(tmp_path / "test.safetensors", predictions.Predictions(np.zeros((3, 2), np.float32), np.zeros(3, int), []))
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {mode}


def test_a_full_disk_is_one_clear_error(tmp_path):
    """/dev/full accepts no byte: torch reports that as a RuntimeError of its own."""
    with pytest.raises(OSError, match="cannot write"):
        checkpoint.replace_file(tmp_path / "x", lambda draft: torch.save({"x": torch.zeros(10)}, "/dev/full"))


@pytest.mark.parametrize("damage", [lambda content: content[:-500], lambda content: b"", lambda content: b"garbage" * 99])
def test_a_damaged_checkpoint_is_named(tmp_path, damage):
    path = tmp_path / "checkpoint.pt"
    checkpoint.save(path, *parts(), Log())
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match=r"checkpoint\.pt: damaged checkpoint .* delete it"):
        checkpoint.restore(path, *parts())


def _pipe(path):
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [(_pipe, "is a pipe, a socket or a device"), (lambda path: os.truncate(path, 2**40), "does not end as it was written")],
)
def test_what_cannot_be_read_to_its_end_is_not_read(tmp_path, damage, message):
    """A pipe would be waited for, and a terabyte of nothing hashed for minutes; the checkpoint before it serves."""
    path = tmp_path / "checkpoint.pt"
    for _ in range(2):
        checkpoint.save(path, *parts(), Log())
    damage(path)
    with pytest.raises(UserError, match=message):
        checkpoint.read(path)
    assert checkpoint.restore(path, *parts()).resumed == 1


def test_weights_round_trip_with_metadata_and_equal_bytes(tmp_path):
    model = parts()[0].model
    for name in ("a", "b"):
        save_weights(tmp_path / name, model, {"config": 1})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    other = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4))
    load_weights(tmp_path / "a", other)
    assert read_metadata(tmp_path / "a") == {"config": 1}
    assert all(torch.equal(x, y) for x, y in zip(model.state_dict().values(), other.state_dict().values(), strict=True))


@pytest.mark.parametrize("content", [None, b"", b"garbage" * 10])
def test_missing_or_damaged_weights_are_named(tmp_path, content):
    path = tmp_path / "model.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=r"model\.safetensors: cannot load the weights"):
        load_weights(path, parts()[0].model)
    with pytest.raises(UserError, match=r"model\.safetensors: cannot read the network's description"):
        read_metadata(path)


def test_weights_of_another_network_are_refused(tmp_path):
    save_weights(tmp_path / "x", nn.Linear(2, 2), {})
    with pytest.raises(UserError, match="cannot load the weights"):
        load_weights(tmp_path / "x", nn.Linear(3, 2))
