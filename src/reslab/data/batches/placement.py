"""Where a split is kept while it is used: on the device, in host memory, or in its files."""

from dataclasses import replace

import torch

from reslab.config import plugins
from reslab.config.schema import bind
from reslab.data.augment.recipe import Recipe, is_mixing
from reslab.data.batches.gathered import Gathered
from reslab.data.batches.hosted import Hosted
from reslab.data.batches.order import Order
from reslab.data.batches.raw import RawBatches
from reslab.data.batches.resident import Resident, in_use
from reslab.data.batches.streamed import CROPS, Crop, Cut, Streamed
from reslab.data.batches.training import TrainingBatches
from reslab.data.normalize import Normalize
from reslab.data.prepared.splits import Files, Split
from reslab.environment import cpu_count, decoders, resident_bytes
from reslab.errors import UserError
from reslab.runs.ranks import ALONE


def placed(split: Split, order: Order, device: torch.device, cut: Cut = "centre") -> RawBatches:
    """The split's batches, kept on the device if they are there or fit its share of the memory, else in host memory.

    Files stay files, and are `cut` as they are decoded: by all cores but one beside a GPU; on a CPU, whose cores train, by the
    process that trains.
    """
    if isinstance(split, Files):
        return Streamed(split, order, device, decoders(max(1, cpu_count() - 1) if device.type == "cuda" else 0), cut)
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else None
    there = free is not None and in_use(split, device) is not None
    resident = there or split.images.nbytes <= resident_bytes(free)
    return (Resident if resident else Hosted)(split, order, device)


def placed_for_training(
    split: Split, order: Order, device: torch.device, steps: Recipe, crop: Crop | None
) -> tuple[RawBatches, Recipe]:
    """The split's batches, and what is left of the recipe for the device: files get their first step, a `crop`, while decoded."""
    if crop is None or not isinstance(split, Files):
        return placed(split, order, device), steps
    return placed(split, order, device, crop), Recipe(steps.augmentations[1:], steps.finish)


def training_batches(
    split: Split, order: Order, device: torch.device, steps: Recipe, crop: Crop | None, normalize: Normalize, *, whole: bool
) -> TrainingBatches:
    """The finished batches of a split, or this process's part of each.

    `whole`: a step needs all images of a batch (`needs_whole_batch`), so that a part is taken after it. Then all processes make the
    same batches of arrays, and share those that they have decoded from files.
    """
    if order.ranks.alone or not whole:
        return TrainingBatches(*placed_for_training(split, order, device, steps, crop), normalize)
    if isinstance(split, Files):
        parts, steps = placed_for_training(split, order, device, steps, crop)
        return TrainingBatches(Gathered(parts), steps, normalize, kept=order)
    raw, steps = placed_for_training(split, replace(order, ranks=ALONE), device, steps, crop)
    return TrainingBatches(raw, steps, normalize, kept=order)


def needs_whole_batch(specs: list[dict]) -> bool:
    """Whether a recipe has a step in which the images of a batch depend on one another, as in one of the user's own they may."""
    return any(is_mixing(spec["name"]) or plugins.is_own(spec["name"]) or spec.get("level") == "batch" for spec in specs)


def crop_of(specs: list[dict]) -> Crop | None:
    """The crop that a recipe begins with; raises UserError for one that comes later, when the pixels around are gone."""
    for position, spec in enumerate(specs):
        if spec["name"] in CROPS and position > 0:
            raise UserError(f"augment[{position}]: {spec['name']} must be the first step where images are stored as files")
    first = specs[0]["name"] if specs else None
    return (first, bind(CROPS, specs[0], "augment[0]")) if first in CROPS else None
