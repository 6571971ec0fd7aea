"""Counts of networks, kept from one command to the next in the user's cache: a known network is not built to know its size."""

import functools
import hashlib
import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import reslab
from reslab import cache
from reslab.config import plugins
from reslab.environment import user_cache

KEPT = "counts"


@dataclass(frozen=True)
class ForwardWork:
    """One forward pass in training mode; multiply-adds and bytes are those of one image, operations those of any batch."""

    multiply_adds: float
    bytes: float  # read and written by all operations, in float32
    operations: int  # calls that compute something; views do not count
    parameters: int
    tensors: int  # of parameters
    norms: int  # layers of batch norm


@functools.cache
def network_work(model: str, image_shape: tuple[int, int, int], classes: int, *, shared: bool = False) -> ForwardWork:
    """One forward pass of a network, its `{name: ..., **options}` given as JSON; counted once for each state of the code.

    `shared`: in one of several processes, whose batch norm has the statistics of all. Raises UserError if there is no such network.
    """
    kept = _file()
    own = plugins.names_in({"model": json.loads(model)})
    parts = [model, image_shape, classes, shared, *(list(_code(name)) for name in own)]
    key = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
    known = cache.read(kept)
    if key not in known:
        known[key] = asdict(_count(json.loads(model), image_shape, classes, shared=shared))
        cache.write(kept, known)
    return ForwardWork(**known[key])


def _code(name: str) -> tuple[str, str]:
    """A network of one's own, and a checksum of its code."""
    from reslab.experiment.own_code import checksums_of

    return name, checksums_of([name])[name]


@functools.cache
def _file() -> Path:
    """The file for the families as they are today, and for what is counted: both are part of its name."""
    digest = hashlib.sha256(" ".join(field.name for field in fields(ForwardWork)).encode())
    root = Path(reslab.__path__[0])
    for path in (*sorted((root / "models").rglob("*.py")), root / "cost/forward_work.py", root / "training/shared_norm.py"):
        digest.update(path.read_bytes())
    return user_cache() / KEPT / f"{digest.hexdigest()[:16]}"


def _count(model: dict, image_shape: tuple[int, int, int], classes: int, *, shared: bool) -> ForwardWork:
    import torch

    from reslab.cost.forward_work import forward_work
    from reslab.experiment.networks import build_network
    from reslab.runs.ranks import Ranks
    from reslab.training.shared_norm import share_statistics

    facts = {"image_shape": image_shape, "class_names": [str(number) for number in range(classes)]}
    with torch.device("meta"):
        network = build_network(model, facts, seed=0)
    if shared:
        share_statistics(network, Ranks(0, 2))
    return forward_work(network, image_shape)
