"""Images per second decoded and cropped, ours beside others': `python benchmarks/streaming.py --workers 0 --workers 2`.

All do the same work on the same JPEGs: read, decode, crop at random, resize, batches in this process (`loops/loaders.py`).
Processes are started before anything is timed; rounds are interleaved, so that a busy machine slows all; numbers are medians
over rounds. Then the CPU time of one process alone, its threads included, which others change less: the loaders, and decoding
and cropping by PIL, which we use, beside torchvision.io.
"""

import io
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from PIL import Image
from tabulate import tabulate
from torchvision.io import ImageReadMode, decode_jpeg
from torchvision.transforms import v2

from loops.loaders import loaders
from reslab.data.form import Form
from reslab.data.window import window
from reslab.environment import cpu_count
from reslab.errors import run

DECODED = 64  # images of one timed call of a decoder
CROP = {"top": 60, "left": 50, "height": 300, "width": 280}  # of a picture of 500x400
LONGER = 500  # pixels of a picture's longer side; the other has four fifths, as ImageNet's usually have


def write_jpegs(folder: Path, count: int, longer: int = LONGER) -> None:
    """Pictures, half of them upright: smooth, with grain, quality 90, of 500x400 about 60 kB; two classes, and a test split."""
    generator = np.random.default_rng(0)
    shorter = longer * 4 // 5
    for i in range(count + 4):
        width, height = [(longer, shorter), (shorter, longer)][i % 2]
        coarse = Image.fromarray(generator.integers(0, 256, (24, 24, 3), dtype=np.uint8))
        grainy = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)) + generator.integers(
            -12, 13, (height, width, 3)
        )
        path = folder / ("train" if i < count else "test") / str(i // 2 % 2) / f"{i:05}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(grainy.clip(0, 255).astype(np.uint8)).save(path, quality=90)


def seconds(step: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """Time of one call."""
    began = clock()
    step()
    return clock() - began


def medians(
    steps: dict[str, Callable[[], object]], rounds: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, float]:
    """Median time of each over interleaved rounds, after one that does not count."""
    for step in steps.values():
        step()
    times = [{name: seconds(step, clock) for name, step in steps.items()} for _ in range(rounds)]
    return {name: statistics.median(taken[name] for taken in times) for name in steps}


def decoders(folder: Path, size: int) -> dict[str, Callable[[], object]]:
    """Decoding and the same crop of each picture, by each library, in this process."""
    contents = [path.read_bytes() for path in sorted(folder.rglob("train/*/*.jpg"))[:DECODED]]
    part = min(Image.open(io.BytesIO(contents[0])).size) / 400
    form, box = Form(size, size, 3), {name: int(part * at) for name, at in CROP.items()}

    def pil() -> None:
        for content in contents:
            window(content, form, **box)

    def torchvision() -> None:
        for content in contents:
            image = decode_jpeg(torch.frombuffer(bytearray(content), dtype=torch.uint8), mode=ImageReadMode.RGB)
            v2.functional.resized_crop(image, **box, size=[size, size])

    def decoding_alone() -> None:
        for content in contents:
            Image.open(io.BytesIO(content)).convert("RGB")

    return {"PIL": pil, "torchvision.io": torchvision, "PIL, decoding alone": decoding_alone}


def main(
    workers: Annotated[list[int] | None, typer.Option(min=0, help="Processes that decode; may be given several times.")] = None,
    images: Annotated[int, typer.Option(min=DECODED)] = 512,
    size: Annotated[int, typer.Option(min=8, help="Pixels a side of the crops.")] = 224,
    longer: Annotated[int, typer.Option(min=100, help="Pixels of the longer side of the pictures.")] = LONGER,
    batch: Annotated[int, typer.Option(min=1)] = 64,
    rounds: Annotated[int, typer.Option(min=1)] = 5,
) -> None:
    """Print images per second by number of processes, and CPU time by decoder."""
    torch.set_num_threads(1)
    rows = []
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work) / "in"
        write_jpegs(folder, images, longer)
        for count in workers or [0, cpu_count()]:
            ways = loaders(folder, Path(work), size=size, batch=batch, workers=count)
            found = medians(ways, rounds)
            rates = [images / found[name] for name in ways]
            rows.append([count, *(f"{rate:,.0f}" for rate in rates), *(f"{rates[0] / rate:.2f}" for rate in rates[1:])])
        alone = medians(decoders(folder, size), rounds, time.process_time)
        ways = loaders(folder, Path(work), size=size, batch=batch, workers=0)
        whole = medians(ways, rounds, time.process_time)
    machine = f"{platform.processor() or platform.machine()}, {cpu_count()} cores, torch {torch.__version__}"
    print(f"{images} JPEGs of {longer}x{longer * 4 // 5} to {size}x{size}, median of {rounds} rounds, {machine}; images/s")
    headings = ["processes", *ways, *(f"to {name}" for name in list(ways)[1:])]
    print(tabulate(rows, headings, disable_numparse=True, colalign=("right",) * len(headings)))
    costs = {name: taken / DECODED for name, taken in alone.items()} | {name: taken / images for name, taken in whole.items()}
    print("CPU ms an image, one process:", ", ".join(f"{name} {1000 * cost:.2f}" for name, cost in costs.items()))
    ratios = ", ".join(f"{name} {whole[name] / whole['ours']:.2f}" for name in ways if name != "ours")
    print("images a CPU second, ours to", ratios)


if __name__ == "__main__":
    run(main)
