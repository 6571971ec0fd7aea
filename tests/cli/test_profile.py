"""`reslab profile` and `reslab schedule`: what they print, and files where they were told to write."""

import json

import pytest
from commands import reslab
from project import SMALL_PARAMS

from reslab.data import prepared
from reslab.errors import UserError


@pytest.fixture
def folder(tmp_path, small_images, monkeypatch):
    """A study and its prepared data."""
    prepared.save(small_images, tmp_path / "data" / "prepared", name="digits", validation=0)
    (tmp_path / "params.yaml").write_text(SMALL_PARAMS.replace("batch_size: 128", "batch_size: 16"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RESLAB_DEVICE", "cpu")
    return tmp_path


def test_profile_prints_operations_and_writes_a_trace(folder):
    said = reslab("profile", "own-tau", "--steps", "4", "--rows", "3", "--output", "trace.json")
    lines = said.splitlines()
    assert lines[0].split() == ["operation", "calls", "a", "step", "ms", "a", "step", "share", "%"]
    assert len(lines) == 2 + 3 + 1 + 2
    assert float(lines[2].split()[-1]) >= float(lines[4].split()[-1])
    events = {event.get("name") for event in json.loads((folder / "trace.json").read_text())["traceEvents"]}
    assert "aten::convolution_backward" in events


def test_profile_refuses_what_it_cannot_do(folder):
    with pytest.raises(UserError, match=r"trace\.txt: unknown format; give a \.json"):
        reslab("profile", "own-tau", "--output", "trace.txt")
    with pytest.raises(UserError, match="unknown name 'no-such'"):
        reslab("profile", "no-such")
    with pytest.raises(UserError, match=r"^none\.yaml: no such file"):
        reslab("profile", "own-tau", "--params", "none.yaml")


def test_schedule_writes_into_a_folder_that_is_there(folder):
    (folder / "plots").mkdir()
    assert reslab("schedule", "own-tau", "--output", "plots").startswith("plots/own-tau.png: ")
    assert (folder / "plots" / "own-tau.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("images", ["0", str(2**63), "9" * 30])
def test_schedule_is_not_for_more_images_than_there_can_be(folder, images):
    """Their steps would be more than a plot's numbers can hold: other points would be drawn."""
    with pytest.raises(AssertionError, match="Invalid value for '--images'"):
        reslab("schedule", "own-tau", "--images", images)
