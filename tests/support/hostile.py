"""Damaged and hostile files: what the tests of readers change, and what they allow to come back."""

from hypothesis import strategies as st

MOST = 600  # characters of a message

CHANGES = st.lists(
    st.tuples(st.sampled_from(["flip", "cut", "zero", "insert", "double", "number"]), st.floats(0, 1), st.integers(0, 255)),
    min_size=1,
    max_size=4,
)


def changed(content: bytes, changes: list[tuple[str, float, int]]) -> bytes:
    """The content with each change made at its place, a fraction of the length."""
    for kind, fraction, value in changes:
        place = min(int(fraction * len(content)), max(len(content) - 1, 0))
        before, after = content[:place], content[place:]
        content = {
            "flip": before + bytes(byte ^ (value or 1) for byte in after[:1]) + after[1:],
            "cut": before,
            "zero": before + bytes(len(after[:value])) + after[value:],
            "insert": before + bytes([value]) * (value % 9 + 1) + after,
            "double": before + after[:value] + after,
            "number": before + bytes([255 - value % 2] * 4) + after[4:],
        }[kind]
    return content


def check_message(error: Exception) -> None:
    """A refusal is one printable line of bounded length."""
    text = str(error)
    assert 0 < len(text) <= MOST, text
    assert text.isprintable(), text
