"""Loaders of encoded images, which read, decode, crop to a random part of 8 to 100 % and resize: ours, and those of others.

`torchvision` is ImageFolder with RandomResizedCrop in a DataLoader; `usual` has the transforms of torch's example for
ImageNet, which also flips and normalizes on the CPU: ours does that on the device, within the step. spdl (FFmpeg in threads)
and DALI (its CPU operators, in threads) take part where they are installed: `pip install spdl nvidia-dali-cuda120`. Each
yields batches of bytes, in this process.
"""

import math
import random
from collections.abc import Callable, Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path

import torch
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder as TheirFolder
from torchvision.transforms import v2

from reslab.data import prepared
from reslab.data.batches.order import Order
from reslab.data.batches.placement import crop_of
from reslab.data.batches.streamed import Streamed
from reslab.data.datasets.image_folder import ImageFolder

AREA, RATIO = (0.08, 1.0), (3 / 4, 4 / 3)  # of RandomResizedCrop
USUAL = [
    transforms.RandomHorizontalFlip(),
    transforms.ToTensor(),
    transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
]


def loaders(folder: Path, work: Path, *, size: int, batch: int, workers: int) -> dict[str, Callable[[], None]]:
    """By name, what goes through one epoch of the pictures in a folder at each call; in `work` ours keeps what it prepares.

    `workers` are processes, of spdl and DALI threads; with none these two have one.
    """
    options = {"size": size, "batch": batch, "workers": workers}
    epochs = {
        "ours": _ours(folder, work, **options),
        "torchvision": _by_torchvision(folder, [v2.PILToTensor()], **options),
        "usual": _by_torchvision(folder, USUAL, **options),
    }
    epochs |= {"spdl": _by_spdl(folder, **options)} if find_spec("spdl") else {}
    epochs |= {"DALI": _by_dali(folder, **options)} if find_spec("nvidia.dali") else {}
    return {name: lambda way=way: next(way) for name, way in epochs.items()}


def _epochs(batches: Callable[[int], Iterable]) -> Iterator[None]:
    """Go through all batches of an epoch at each step."""
    epoch = 0
    while True:
        epoch += 1
        for _ in batches(epoch):
            pass
        yield


def _ours(folder: Path, work: Path, *, size: int, batch: int, workers: int) -> Iterator[None]:
    dataset = ImageFolder(work / "raw", source=str(folder), image_size=size, stored="files")
    if not (work / "prepared").exists():
        dataset.fetch()
        prepared.save(dataset.read(), work / "prepared", name="image_folder", validation=0)
    files = prepared.load(work / "prepared").train
    crop = crop_of([{"name": "random_resized_crop"}])
    return _epochs(Streamed(files, Order(len(files), batch), torch.device("cpu"), workers, crop).epoch)


def _by_torchvision(folder: Path, further: list[Callable], *, size: int, batch: int, workers: int) -> Iterator[None]:
    transform = transforms.Compose([transforms.RandomResizedCrop(size), *further])
    running = {"persistent_workers": True, "multiprocessing_context": "spawn"} if workers else {}
    loader = DataLoader(TheirFolder(folder / "train", transform), batch, shuffle=True, num_workers=workers, **running)
    return _epochs(lambda _: loader)


def _by_spdl(folder: Path, *, size: int, batch: int, workers: int) -> Iterator[None]:
    import spdl.io
    from spdl.pipeline import PipelineBuilder

    files = sorted(map(str, (folder / "train").rglob("*.jpg")))

    def load(path: str) -> torch.Tensor:
        cut = f"{_spdl_crop()},scale={size}:{size}:flags=bilinear,format=pix_fmts=rgb24"
        frames = spdl.io.decode_packets(spdl.io.demux_image(path), filter_desc=cut)
        return spdl.io.to_torch(spdl.io.convert_frames(frames))

    def epoch(_: int) -> Iterator[torch.Tensor]:
        threads = max(workers, 1)
        built = PipelineBuilder().add_source(random.sample(files, len(files))).pipe(load, concurrency=threads)
        pipeline = built.aggregate(batch).pipe(torch.stack).add_sink(2).build(num_threads=threads)
        with pipeline.auto_stop():
            yield from pipeline

    return _epochs(epoch)


def _spdl_crop() -> str:
    """A random part as FFmpeg writes it, in parts of the picture's sides."""
    area, ratio = random.uniform(*AREA), math.exp(random.uniform(*map(math.log, RATIO)))
    width, height = min(1.0, math.sqrt(area * ratio)), min(1.0, math.sqrt(area / ratio))
    left, top = random.uniform(0, 1 - width), random.uniform(0, 1 - height)
    return f"crop=iw*{width:.6f}:ih*{height:.6f}:iw*{left:.6f}:ih*{top:.6f}"


def _by_dali(folder: Path, *, size: int, batch: int, workers: int) -> Iterator[None]:
    from nvidia.dali import fn, pipeline_def, types

    # Nothing in advance: it would run while others are measured.
    @pipeline_def(
        batch_size=batch,
        num_threads=max(workers, 1),
        device_id=None,
        exec_async=False,
        exec_pipelined=False,
        prefetch_queue_depth=1,
    )
    def crops() -> tuple:
        jpegs, labels = fn.readers.file(file_root=str(folder / "train"), random_shuffle=True)
        parts = fn.decoders.image_random_crop(jpegs, random_area=AREA, random_aspect_ratio=RATIO)
        return fn.resize(parts, size=(size, size), interp_type=types.INTERP_LINEAR, antialias=True), labels

    pipeline = crops()
    pipeline.build()
    count = len(list((folder / "train").rglob("*.jpg")))
    return _epochs(lambda _: (pipeline.run() for _ in range(count // batch)))
