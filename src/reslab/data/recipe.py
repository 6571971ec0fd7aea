"""The list `augment` of an experiment as what it means: steps on pixels, steps on normalised floats, one mixing."""

from collections.abc import Callable
from dataclasses import dataclass

from reslab.data.augment import AUGMENTATIONS
from reslab.data.loader import Augmentation, Finish, named_streams
from reslab.data.mixing import MIXINGS
from reslab.errors import UserError
from reslab.schema import bind


def normalize() -> None:
    """The place in the list where pixels become normalised floats."""


STEPS: dict[str, Callable] = {**AUGMENTATIONS, **MIXINGS, normalize.__name__: normalize}


@dataclass(frozen=True)
class Recipe:
    """What happens to a batch: `augmentations` on uint8 pixels, then normalisation, then `finish`."""

    augmentations: list[tuple[str, Augmentation]]
    finish: Finish


def recipe(specs: list[dict]) -> Recipe:
    """`[{name: flip}, {name: normalize}, {name: cutout, size: 16}, {name: mixup}]` -> Recipe.

    Without the marker `normalize`, normalisation comes after the last augmentation; a mixing always works on normalised images.
    Raises UserError with the path augment[i] for a step that is wrong or cannot stand where it does.
    """
    names = [spec["name"] for spec in specs]
    bound = [bind(STEPS, spec, f"augment[{i}]") for i, spec in enumerate(specs)]
    _check_order(names)
    streams = named_streams(list(zip(names, bound, strict=True)))
    mixing = streams.pop() if names and names[-1] in MIXINGS else None
    marker = names.index(normalize.__name__) if normalize.__name__ in names else len(streams)
    return Recipe(augmentations=streams[:marker], finish=Finish(streams[marker + 1 :], mixing))


def _check_order(names: list[str]) -> None:
    for i, name in enumerate(names):
        if name == normalize.__name__ and name in names[:i]:
            raise UserError(f"augment[{i}]: {name} stands in the list already; images are normalised once")
        if name in MIXINGS and i < len(names) - 1:
            raise UserError(f"augment[{i}]: {_after_mixing(name, names[-1], names[i + 1])}")


def _after_mixing(name: str, last: str, following: str) -> str:
    if last in MIXINGS:
        return f"{name} and {last} cannot be combined: each makes its own targets or views of a batch; keep one of them"
    return f"{name} must be the last step, {following} comes after it"
