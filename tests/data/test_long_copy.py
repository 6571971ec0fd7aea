"""A copy of many images that was interrupted: what is noted of it is believed only where it fits what is there."""

import json

import pytest

from reslab.data.datasets import long_copy
from reslab.data.datasets.long_copy import LongCopy
from reslab.data.prepared.files import scan

IMAGES = [(f"train/a/{number}.png", bytes([number]) * 700) for number in range(9)]


def copied(target, stop_after=None):
    """The images that came through, and those of the tar."""
    came = []
    with LongCopy("key", 1, target) as copy:
        for image in copy.through(lambda skip: IMAGES[skip:]):
            came.append(image)
            if len(came) == stop_after:
                return came
        with copy.published():
            pass
    with target.open("rb") as file:
        return came, [(name, file.seek(offset) and file.read(length)) for name, (offset, length) in scan(target).items()]


NOTES = ["[]", "3", "null", '{"count": "4"}', "[" * 100_000, "{}", '{"count": true, "end": 5}', '{"count": -1, "end": -1}']


@pytest.mark.parametrize(
    "note", [*NOTES, ("count", 1), ("count", -1), ("end", 512), ("end", -512), ("end", -1536), ("end", 7), ("end", 10**9), None]
)
def test_a_damaged_note_loses_no_image(tmp_path, monkeypatch, note):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setattr(long_copy, "BYTES_BETWEEN_MARKS", 1)
    assert len(copied(tmp_path / "images.tar", stop_after=5)) == 5
    (mark,) = tmp_path.glob("checkpoints/*/mark.json")
    if isinstance(note, str):
        mark.write_text(note)
    elif note:
        marked = json.loads(mark.read_text())
        mark.write_text(json.dumps(marked | {note[0]: marked[note[0]] + note[1]}))
    assert copied(tmp_path / "images.tar") == (IMAGES, IMAGES)


@pytest.mark.parametrize("note", ["3", '{"a": 1}', "[[1], null]", "[" * 100_000])
def test_a_damaged_note_of_what_was_verified_verifies_again(tmp_path, monkeypatch, note):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    (tmp_path / "a.tar").write_bytes(b"a")
    with LongCopy("key", 1, tmp_path / "images.tar") as copy:
        copy.verified.write_text(note)
        copy.verify({tmp_path / "a.tar": "0cc175b9c0f1b6a831c399e269772661"}, "x")
        assert json.loads(copy.verified.read_text()) == ["a.tar"]
