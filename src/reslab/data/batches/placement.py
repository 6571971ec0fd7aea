"""Where a split is kept while it is used: on the device, in host memory, or in its files."""

from collections.abc import Callable

import torch

from reslab.config.schema import bind
from reslab.data.augment.recipe import Recipe
from reslab.data.batches.hosted import Hosted
from reslab.data.batches.resident import Resident
from reslab.data.batches.source import Source
from reslab.data.batches.streamed import CROPS, Crop, Stream
from reslab.data.prepared.arrays import Split
from reslab.data.prepared.files import Files
from reslab.environment import cpu_count, decoders, resident_bytes
from reslab.errors import UserError


def placed(split: Split | Files, device: torch.device) -> Source:
    """A split as it is evaluated: on the device if it fits its share of the memory, else in host memory; files stay files."""
    if isinstance(split, Files):
        return streamed(split, device)
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else None
    return (Resident if split.images.nbytes <= resident_bytes(free) else Hosted).of(split, device)


def placed_for_training(
    split: Split | Files, device: torch.device, steps: Recipe, first_crop: Callable[[], Crop | None]
) -> tuple[Source, Recipe]:
    """A split, and what is left of the recipe for the device: encoded images get their first crop while they are decoded."""
    if not isinstance(split, Files):
        return placed(split, device), steps
    crop = first_crop()
    return streamed(split, device, crop), Recipe(steps.augmentations[1:] if crop else steps.augmentations, steps.finish)


def streamed(split: Files, device: torch.device, crop: Crop | None = None) -> Stream:
    """Encoded images, decoded by all cores but one beside a GPU; on a CPU, whose cores train, by the process that trains."""
    return Stream(split, device, decoders(max(1, cpu_count() - 1) if device.type == "cuda" else 0), crop)


def crop_of(specs: list[dict]) -> Crop | None:
    """The crop that stands first in a recipe; raises UserError for one that stands later: the pixels around are gone by then."""
    for position, spec in enumerate(specs):
        if spec["name"] in CROPS and position > 0:
            raise UserError(f"augment[{position}]: {spec['name']} must be the first step where images are stored as files")
    first = specs[0]["name"] if specs else None
    return (first, bind(CROPS, specs[0], "augment[0]")) if first in CROPS else None
