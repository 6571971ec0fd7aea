"""The sets of weights in a file: a training script may save one, its average beside it, and much else."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from reslab.config.schema import unknown
from reslab.errors import UserError, cut
from reslab.weights.check import some
from reslab.weights.foreign import WHOLE_MODULE, Inert

# Mappings of names to tensors that are no weights.
OTHER_STATE = re.compile(r"optim|sched|scaler|rng|random", re.IGNORECASE)
DEEPEST = 5  # mappings in one another
MOST = 10_000  # mappings looked at


def sets_of(stored: Any) -> dict[str, Mapping[str, Tensor]]:
    """Every mapping of names to tensors by its place, such as `state_dict` or `ema.model`; "" is the file itself."""
    return {".".join(place): value for place, value in _mappings(stored) if is_set(value)}


def is_set(value: Mapping) -> bool:
    """Whether all that is in it are named tensors, and not only single numbers or integers."""
    return (
        bool(value)
        and all(isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in value.items())
        and any(tensor.is_floating_point() and tensor.dim() for tensor in value.values())
    )


def chosen(stored: Any, wanted: str | None) -> tuple[str, Mapping[str, Tensor], list[str]]:
    """The wanted set of weights, or the only one: its place, its tensors, and the places of the others.

    Raises UserError if there is none, or several and none is wanted.
    """
    sets = sets_of(stored)
    if not sets:
        raise UserError(_none_in(stored))
    if wanted is not None and wanted not in sets:
        if "" in sets:
            raise UserError(f"--set {cut(wanted)}: the file is itself one set of weights; leave --set out")
        raise UserError(f"--set: {unknown(wanted, sets, 'set of weights')}")
    if wanted is None and len(sets) > 1:
        listed = [f"{place} ({len(tensors)} tensors)" for place, tensors in sets.items()]
        raise UserError(f"holds {len(sets)} sets of weights: {some(listed)}; choose one with --set NAME")
    place = next(iter(sets)) if wanted is None else wanted
    return place, sets[place], [other for other in sets if other != place]


def _mappings(stored: Any) -> Iterator[tuple[tuple[str, ...], Mapping]]:
    """All mappings under text keys, once each, from the outside in; a set of weights is not looked into."""
    waiting, seen = [((), stored)], set()
    while waiting and len(seen) < MOST:
        place, value = waiting.pop(0)
        if not isinstance(value, Mapping) or id(value) in seen:
            continue
        seen.add(id(value))
        yield place, value
        if len(place) < DEEPEST and not is_set(value):
            waiting += [
                ((*place, key), inner)
                for key, inner in value.items()
                if isinstance(key, str) and isinstance(inner, Mapping) and not OTHER_STATE.search(key)
            ]


def _none_in(stored: Any) -> str:
    values = stored.values() if isinstance(stored, Mapping) else [stored]
    networks = [value for value in values if isinstance(value, Inert) and value.is_network]
    if networks:
        kind = type(networks[0])
        return WHOLE_MODULE.format(cut(f"{kind.__module__}.{kind.__name__}"))
    if not isinstance(stored, Mapping):
        return f"no state dict in it, but a {cut(type(stored).__name__)}"
    return (
        f"no state dict in it, which is a mapping of names to tensors and nothing else; found {some(map(str, list(stored)[:100]))}"
    )
