"""What is kept in the user's cache to save work is read to the bit, or made anew; nothing in its place is waited for."""

import os

import pytest

from reslab import cache
from reslab.config import overview
from reslab.cost.counts import _file, network_work

MODEL = '{"name": "resnet", "depth": 8}'
INPUT = (MODEL, (3, 8, 8), 2)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    _file.cache_clear()
    network_work.cache_clear()
    yield
    _file.cache_clear()
    network_work.cache_clear()


def text(content):
    return lambda path: path.write_bytes(content)


def edited(path):
    path.write_text(path.read_text().replace("1", "2"))


def deep(path):
    cache.replace_text(path, f"{cache._checksum('[' * 100_000)}\n{'[' * 100_000}")


def another_value(path):
    """A list with its right checksum, where numbers by name are kept."""
    cache.replace_text(path, f"{cache._checksum('[1]')}\n[1]")


def terabyte(path):
    os.truncate(path, 2**40)


def in_place(put):
    def change(path):
        path.unlink()
        put(path)

    return change


HARM = {
    "empty": text(b""),
    "another value": another_value,
    "no text": text(b"\xff\n\0"),
    "edited": edited,
    "deep": deep,
    "terabyte": terabyte,
    "pipe": in_place(os.mkfifo),
    "folder": in_place(os.mkdir),
    "device": in_place(lambda path: path.symlink_to("/dev/zero")),
    "link to itself": in_place(lambda path: path.symlink_to(path.name)),
}


@pytest.mark.parametrize("harm", HARM.values(), ids=HARM.keys())
def test_a_damaged_cache_is_as_good_as_none(harm):
    first = network_work(*INPUT)
    harm(_file())
    network_work.cache_clear()
    assert network_work(*INPUT) == first


@pytest.mark.parametrize("harm", HARM.values(), ids=HARM.keys())
def test_damaged_notes_on_studies_are_as_good_as_none(harm, repository, tmp_path):
    first = overview.of(["digits-tau"], repository / "studies")
    harm(tmp_path / "reslab" / overview.KEPT)
    assert overview.of(["digits-tau"], repository / "studies") == first


def test_what_is_kept_is_read(tmp_path):
    cache.write(tmp_path / "x" / "y", {"a": [1, 0.5, "\ud800\n"]})
    assert cache.read(tmp_path / "x" / "y") == {"a": [1, 0.5, "\ud800\n"]}
    assert cache.read(tmp_path / "none") == {}
