"""One line of a library's error."""

import pytest

from reslab.errors import first_line


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
