"""The list `augment` of an experiment as functions: steps on pixels, steps on normalised floats, one mixing."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from reslab.config import plugins
from reslab.data.augment.colour import colour_jitter, lighting, rand_augment, trivial_augment
from reslab.data.augment.draws import Draws
from reslab.data.augment.erase import cutout, random_erasing
from reslab.data.augment.geometry import flip, pad_crop
from reslab.data.augment.mixing import cutmix, dual_cutout, mixup, ricap
from reslab.data.augment.resized_crop import random_resized_crop, scale_jitter
from reslab.errors import UserError
from reslab.targets import Batch, Targets

Augmentation = Callable[[Tensor, Draws], Tensor]
Mixing = Callable[[Tensor, Tensor, Draws], tuple[Tensor, Targets]]


def normalize() -> None:
    """The place in the list where pixels become normalised floats."""


AUGMENTATIONS = {
    "colour_jitter": colour_jitter,
    "cutout": cutout,
    "flip": flip,
    "lighting": lighting,
    "pad_crop": pad_crop,
    "rand_augment": rand_augment,
    "random_erasing": random_erasing,
    "random_resized_crop": random_resized_crop,
    "scale_jitter": scale_jitter,
    "trivial_augment": trivial_augment,
}
MIXINGS = {
    "cutmix": cutmix,
    "dual_cutout": dual_cutout,
    "mixup": mixup,
    "ricap": ricap,
}
STEPS: dict[str, Callable] = {**AUGMENTATIONS, **MIXINGS, normalize.__name__: normalize}


@dataclass(frozen=True)
class Finish:
    """The steps after normalisation, as (stream, function): augmentations of floats, and a mixing of the batch."""

    augmentations: list[tuple[str, Augmentation]] = field(default_factory=list)
    mixing: tuple[str, Mixing] | None = None

    def __call__(self, images: Tensor, labels: Tensor, draws: Callable[[str], Draws]) -> Batch:
        """Apply all of it to a normalised batch; `draws` gives the random numbers of a stream."""
        for stream, augment in self.augmentations:
            images = augment(images, draws(stream)).contiguous(memory_format=torch.channels_last)
        if self.mixing is None:
            return images, labels
        stream, mix = self.mixing
        return mix(images, labels, draws(stream))


@dataclass(frozen=True)
class Recipe:
    """The steps of a batch: `augmentations` on uint8 pixels, then normalisation, then `finish`."""

    augmentations: list[tuple[str, Augmentation]] = field(default_factory=list)  # (stream, function)
    finish: Finish = field(default_factory=Finish)


def recipe(specs: list[dict]) -> Recipe:
    """`[{name: flip}, {name: normalize}, {name: cutout, size: 16}, {name: mixup}]` -> Recipe.

    Without the marker `normalize`, normalisation comes after the last augmentation; a mixing always works on normalised images.
    Raises UserError with the path augment[i] for a step that is wrong or in the wrong place.
    """
    names = [spec["name"] for spec in specs]
    bound = [plugins.bind("augment", STEPS, spec, f"augment[{i}]") for i, spec in enumerate(specs)]
    _check_order(names)
    streams = named_streams([(name, checked(name, step)) for name, step in zip(names, bound, strict=True)])
    mixing = streams.pop() if names and is_mixing(names[-1]) else None
    marker = names.index(normalize.__name__) if normalize.__name__ in names else len(streams)
    return Recipe(augmentations=streams[:marker], finish=Finish(streams[marker + 1 :], mixing))


def is_mixing(name: str) -> bool:
    """Whether a step mixes the images of a batch."""
    return plugins.is_mixing(name, "augment") if plugins.is_own(name) else name in MIXINGS


def checked(name: str, step: Callable) -> Callable:
    """A step of one's own that raises UserError unless it returns images like those it got, and a mixing also targets."""
    if not plugins.is_own(name):
        return step
    mixes = is_mixing(name)

    def augment(images: Tensor, *rest: Any) -> Any:
        made = step(images, *rest)
        if mixes:
            if not isinstance(made, tuple) or len(made) != 2 or not isinstance(made[0], Tensor):
                raise UserError(f"augment: {name} must return images and targets, not a {type(made).__name__}")
        elif not isinstance(made, Tensor) or (made.shape, made.dtype) != (images.shape, images.dtype):
            found = f"{made.dtype} {list(made.shape)}" if isinstance(made, Tensor) else f"a {type(made).__name__}"
            raise UserError(
                f"augment: {name} must return images like those it got, {images.dtype} {list(images.shape)}, not {found}"
            )
        return made

    return augment


def _check_order(names: list[str]) -> None:
    for i, name in enumerate(names):
        if name == normalize.__name__ and name in names[:i]:
            raise UserError(f"augment[{i}]: {name} is in the list already; images are normalised once")
        if is_mixing(name) and i < len(names) - 1:
            raise UserError(f"augment[{i}]: {_after_mixing(name, names[-1], names[i + 1])}")


def _after_mixing(name: str, last: str, following: str) -> str:
    if is_mixing(last):
        return f"{name} and {last} cannot be combined: each makes its own targets or views of a batch; keep one of them"
    return f"{name} must be the last step, {following} comes after it"


def named_streams(augmentations: list[tuple[str, Callable]]) -> list[tuple[str, Augmentation]]:
    """Give each augmentation of the list its own stream of draws: its name, numbered when it comes twice."""
    seen: dict[str, int] = {}
    streams = []
    for name, augment in augmentations:
        seen[name] = seen.get(name, 0) + 1
        streams.append((name if seen[name] == 1 else f"{name}#{seen[name]}", augment))
    return streams
