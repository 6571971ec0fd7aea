"""Damage as disks, copies and hands make it: flipped bits, overwritten, cut, inserted, repeated or swapped bytes."""

from hypothesis import strategies as st


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """The content after one or several random changes; it may come out as it was."""
    for _ in range(draw(st.integers(1, 4))):
        content = draw(st.sampled_from(KINDS))(draw, content)
    return content


def _place(draw: st.DrawFn, content: bytes) -> int:
    return draw(st.integers(0, max(0, len(content) - 1)))


def _flip(draw: st.DrawFn, content: bytes) -> bytes:
    at = _place(draw, content)
    return content[:at] + bytes([content[at] ^ 1 << draw(st.integers(0, 7))]) + content[at + 1 :] if content else content


def _overwrite(draw: st.DrawFn, content: bytes) -> bytes:
    at, new = _place(draw, content), draw(st.binary(min_size=1, max_size=64))
    return content[:at] + new + content[at + len(new) :]


def _cut(draw: st.DrawFn, content: bytes) -> bytes:
    at = _place(draw, content)
    return content[:at] if draw(st.booleans()) else content[at:]


def _drop(draw: st.DrawFn, content: bytes) -> bytes:
    at = _place(draw, content)
    return content[:at] + content[at + draw(st.integers(1, 64)) :]


def _insert(draw: st.DrawFn, content: bytes) -> bytes:
    at = _place(draw, content)
    return content[:at] + draw(st.binary(min_size=1, max_size=64)) + content[at:]


def _repeat(draw: st.DrawFn, content: bytes) -> bytes:
    at = _place(draw, content)
    return content[:at] + content[at : at + draw(st.integers(1, 64))] + content[at:]


def _blank(draw: st.DrawFn, content: bytes) -> bytes:
    """A block of the disk that was never written."""
    at, length = _place(draw, content), draw(st.sampled_from([1, 16, 512, 4096]))
    return content[:at] + bytes(min(length, len(content) - at)) + content[at + length :]


def _swap_lines(draw: st.DrawFn, content: bytes) -> bytes:
    lines = content.split(b"\n")
    one, other = (draw(st.integers(0, len(lines) - 1)) for _ in range(2))
    lines[one], lines[other] = lines[other], lines[one]
    return b"\n".join(lines)


KINDS = [_flip, _flip, _overwrite, _cut, _drop, _insert, _repeat, _blank, _swap_lines]
