"""Interleaved rounds: every entrant's segment once a round, in rotated order, so that a busy machine slows all alike."""

import math
import time
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import asdict

from contest.entrant import Driven
from contest.processes import TooLong
from loops.job import LevelRefused
from reslab.errors import UserError, one_line

Say = Callable[[str], None]


def contest(entrants: list[Driven], *, rounds: int, seconds: float, say: Say, until: float = float("inf")) -> dict[str, dict]:
    """Warm each entrant up, then measure it `rounds` times, `seconds` or one epoch long, whichever is longer.

    By name: {"start": ..., "segments": [...]}, or {"failed": why}: one that fails is left out and the others go on. No round begins
    that would not end by the time `until`.
    """
    found: dict[str, dict] = {}
    epochs: dict[str, int] = {}
    with ExitStack() as stack:
        for entrant in entrants:
            stack.callback(entrant.close)
        for entrant in entrants:
            say(f"{entrant.name}: first epoch")
            found[entrant.name] = _attempt(lambda entrant=entrant: _warm_up(entrant, epochs, seconds))
        longest = 0.0
        for number in range(rounds):
            began = time.monotonic()
            if began + longest > until:
                say(f"{number} of {rounds} rounds: the time of this part is over")
                break
            for entrant in rotated(entrants, number):
                _take_part(entrant, epochs, found, lambda name, number=number: say(f"round {number + 1} of {rounds}: {name}"))
            longest = max(longest, time.monotonic() - began)
    for entry in found.values():
        if not entry.get("segments"):
            entry.setdefault("failed", "no round was reached in the time of this part")
    return found


def _take_part(entrant: Driven, epochs: dict[str, int], found: dict[str, dict], say: Say) -> None:
    """Measure an entrant once, unless it failed before."""
    if "failed" not in found[entrant.name]:
        say(entrant.name)
        found[entrant.name] |= _attempt(lambda: _measure(entrant, epochs, found))


def rotated(entrants: list[Driven], number: int) -> list[Driven]:
    """Round `number`'s order: each begins once in as many rounds as there are entrants."""
    first = number % len(entrants)
    return entrants[first:] + entrants[:first]


def _warm_up(entrant: Driven, epochs: dict[str, int], seconds: float) -> dict:
    """The first epoch, and one segment that only says how long an epoch is."""
    start = entrant.start()
    epochs[entrant.name] = 1
    if start["first_epoch_seconds"] is not None:
        warm = entrant.segment(1)
        epochs[entrant.name] = max(1, math.ceil(seconds / max(warm.seconds, 1e-3)))
    return {"start": start, "segments": []}


def _measure(entrant: Driven, epochs: dict[str, int], found: dict[str, dict]) -> dict:
    found[entrant.name]["segments"].append(asdict(entrant.segment(epochs[entrant.name])))
    return {}


def _attempt(step: Callable[[], dict]) -> dict:
    """What the step found, or why it failed; a mistake of the user's ends everything, a level that is refused its row only."""
    try:
        return step()
    except LevelRefused as error:
        return {"failed": f"refused: {one_line(error)[:300]}"}
    except UserError:
        raise
    except TooLong as error:
        return {"failed": str(error)}
    except BrokenProcessPool:
        return {"failed": "its process was killed (out of memory?)"}
    except Exception as error:  # noqa: BLE001 - another loop's failure must not lose this one's numbers
        return {"failed": f"{type(error).__name__}: {one_line(error)[:300]}"}
