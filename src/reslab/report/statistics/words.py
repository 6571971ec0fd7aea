"""Words for what is undecided: how many more seeds would settle it."""

import math
from collections.abc import Mapping


def settled_by(row: Mapping) -> str:
    """A text like ": about 9 more seeds (2 to 120)", from `n` and `seeds_needed` with its range; empty without a spread."""
    needed = [row[key] for key in ("seeds_needed", "seeds_needed_low", "seeds_needed_high")]
    if math.isnan(needed[0]):
        return ""
    more = [_more(seeds, row["n"]) for seeds in needed]
    if math.isinf(needed[1]):
        return ": 1000 seeds would not settle it"
    return f": {'' if math.isinf(needed[0]) else 'about '}{more[0]} more seeds ({more[1]} to {more[2]})"


def _more(seeds: float, n: int) -> str:
    return "over 1000" if math.isinf(seeds) else str(max(int(seeds) - n, 1))
