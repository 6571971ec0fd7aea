"""The order in which workers run tests: a part begins with its long ones, so that the short ones fill up the end."""

from collections.abc import Callable, Sequence
from typing import TypeVar

Test = TypeVar("Test")


def dealt(tests: Sequence[Test], workers: int, *, rank: Callable[[Test], int], file: Callable[[Test], object]) -> list[Test]:
    """The tests in the order that xdist cuts into equal parts; rank 0 is for the longest, and long ones have any but the last.

    The long tests of a file stay together, for they share what the file makes. Every second worker begins at the other end: while
    one makes what all projects are copies of, it does not wait for it.
    """
    last = max(map(rank, tests), default=0)
    files: dict[object, list[Test]] = {}
    for test in sorted(tests, key=rank):
        if rank(test) < last:
            files.setdefault(file(test), []).append(test)
    short, order = [test for test in tests if rank(test) == last], []
    for worker in range(workers):
        mine = list(files.values())[worker::workers]
        part = [test for each in (reversed(mine) if worker % 2 else mine) for test in each]
        room = max(0, (len(tests) - len(order)) // (workers - worker) - len(part))
        order += part + short[:room]
        del short[:room]
    return order + short
