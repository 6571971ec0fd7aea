"""Images per second of each augmentation, batched here beside torchvision's: `python benchmarks/augment.py --batch 128 --size 32`.

Three forms of the same thing: ours (each image its own numbers, uint8 batch in, uint8 batch out; mixings on floats); torchvision's
v2 transform called once for each image; and once for the whole batch, where every image gets the same numbers: a bound, and no
substitute. Rounds are interleaved, so that a busy machine slows all three; numbers are medians over rounds.
"""

import platform
import statistics
import time
from collections.abc import Callable
from typing import Annotated

import torch
import typer
from tabulate import tabulate
from torch import Tensor
from torchvision.transforms import v2

from reslab.data.augment.draws import Draws
from reslab.data.augment.recipe import AUGMENTATIONS, MIXINGS
from reslab.errors import run
from reslab.training.execution import hardware

OURS = {
    "pad_crop": {"padding": 4},
    "flip": {},
    "cutout": {"size": 16},
    "random_erasing": {},
    "random_resized_crop": {},
    "scale_jitter": {},
    "colour_jitter": {},
    "lighting": {},
    "trivial_augment": {},
    "rand_augment": {},
    "mixup": {},
    "cutmix": {},
    "ricap": {},
    "dual_cutout": {"size": 16},
}


def theirs(size: int) -> dict[str, v2.Transform]:
    """Torchvision's transform of the same name; not all of ours are there."""
    return {
        "pad_crop": v2.RandomCrop(size, padding=4),
        "flip": v2.RandomHorizontalFlip(),
        "random_erasing": v2.RandomErasing(),
        "random_resized_crop": v2.RandomResizedCrop(size, antialias=True),
        "colour_jitter": v2.ColorJitter(0.4, 0.4, 0.4),
        "trivial_augment": v2.TrivialAugmentWide(),
        "rand_augment": v2.RandAugment(),
        "mixup": v2.MixUp(num_classes=10),
        "cutmix": v2.CutMix(num_classes=10),
    }


def forms(name: str, images: Tensor, labels: Tensor) -> dict[str, Callable[[], object]]:
    """What is timed for one augmentation, by column."""
    draws = Draws(0, 1, name, torch.arange(len(images), device=images.device))
    transform = theirs(images.shape[3]).get(name)
    if name in MIXINGS:
        floats = images.float() / 255
        timed = {"ours": lambda: MIXINGS[name](floats, labels, draws, **OURS[name])}
        return timed if transform is None else timed | {"torchvision batch": lambda: transform(floats, labels)}
    timed = {"ours": lambda: AUGMENTATIONS[name](images, draws, **OURS[name])}
    if transform is None:
        return timed
    each = {"torchvision each": lambda: torch.stack([transform(image) for image in images])}
    return timed | each | {"torchvision batch": lambda: transform(images)}


def seconds(function: Callable[[], object], device: torch.device) -> float:
    """Time of one call, waiting for the device."""
    wait_for(device)
    began = time.perf_counter()
    function()
    wait_for(device)
    return time.perf_counter() - began


def wait_for(device: torch.device) -> None:
    """Let the device finish what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def rates(functions: dict[str, Callable[[], object]], rounds: int, images: Tensor) -> dict[str, float]:
    """Images per second of each form: medians over interleaved rounds, after one that does not count."""
    times: dict[str, list[float]] = {form: [] for form in functions}
    for round_number in range(rounds + 1):
        for form, function in functions.items():
            took = seconds(function, images.device)
            if round_number:
                times[form].append(took)
    return {form: len(images) / statistics.median(taken) for form, taken in times.items()}


def main(
    batch: Annotated[int, typer.Option(min=2)] = 128,
    size: Annotated[int, typer.Option(min=8, help="Pixels a side.")] = 32,
    rounds: Annotated[int, typer.Option(min=1)] = 15,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
) -> None:
    """Print images per second and the ratio of ours to each of torchvision's forms."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    device = hardware.choose_device()
    images = torch.randint(256, (batch, 3, size, size), dtype=torch.uint8, device=device)
    labels = torch.randint(10, (batch,), device=device)
    rows = []
    for name in OURS:
        found = rates(forms(name, images, labels), rounds, images)
        each, whole = found.get("torchvision each"), found.get("torchvision batch")
        ratios = [f"{found['ours'] / other:.2f}" if other else "" for other in (each, whole)]
        rows.append([name, *(f"{rate:,.0f}" if rate else "" for rate in (found["ours"], each, whole)), *ratios])
    where = (
        torch.cuda.get_device_name()
        if device.type == "cuda"
        else f"{platform.processor() or platform.machine()}, {threads} thread(s)"
    )
    print(f"{batch} images of 3x{size}x{size}, median of {rounds} rounds, {where}, torch {torch.__version__}; images/s")
    header = ["augmentation", "ours", "torchvision each", "torchvision batch", "ours / each", "ours / batch"]
    print(tabulate(rows, header, disable_numparse=True, colalign=("left", *["right"] * 5)))


if __name__ == "__main__":
    run(main)
