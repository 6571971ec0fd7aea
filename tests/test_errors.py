"""One line of an error, and files that are none."""

import os

import pytest

from reslab.config.yaml import read_yaml
from reslab.errors import UserError, first_line, one_line
from reslab.runs import checksums, sealed
from reslab.training.checkpoint import replace_file
from reslab.weights.check import check_header


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (RuntimeError("\n  bad file\nat 0x7f"), "bad file"),
        (EOFError(), "EOFError"),
        (OSError(28, "No space"), "[Errno 28] No space"),
    ],
)
def test_the_first_line_says_something(error, line):
    assert first_line(error) == line


def test_a_path_longer_than_any_system_takes_is_cut():
    text = one_line(UserError(f"{'x' * 5000}: no such file; give another"))
    assert len(text) < 200
    assert text.endswith("xxx: no such file; give another")


READERS = {
    "params": read_yaml,
    "record": checksums.read_bytes,
    "page": checksums.read_text,
    "predictions": lambda path: sealed.read(path, failed="", mend=""),
    "weights": check_header,
    "output": lambda path: replace_file(path, lambda draft: draft.write_bytes(b"x")),
}


@pytest.mark.parametrize("name", READERS)
def test_a_pipe_is_neither_waited_for_nor_replaced(tmp_path, name):
    """As root, `reslab export --onnx /dev/null` would make a plain file of the device."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match=r"is a pipe, a socket or a device; give a plain file|not a file"):
        READERS[name](tmp_path / "pipe")
    assert (tmp_path / "pipe").is_fifo()


@pytest.mark.parametrize("name", ["params", "page"])
def test_a_file_that_cannot_be_read_is_named_in_words(tmp_path, name):
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(UserError, match=r"no such file|Too many levels of symbolic links"):
        READERS[name](tmp_path / "loop")
