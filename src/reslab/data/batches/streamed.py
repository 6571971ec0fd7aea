"""A split that is decoded while it is used: processes decode, cut and resize; the rest is done on the device, in batches.

The order of the samples and every draw are those of a split in memory: they depend on (seed, epoch, sample) alone, not on the
number of processes, so an epoch can begin at any batch.
"""

import atexit
import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import tee
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from reslab.data.augment.draws import Draws
from reslab.data.augment.resized_crop import aspect_windows, scaled_windows
from reslab.data.batches.decoder import Broken, Decoder, DecodingContext, Request, unchanged
from reslab.data.batches.order import Order
from reslab.data.batches.source import RawBatch, moved
from reslab.data.decode import unreadable
from reslab.data.prepared.files import Files

Crop = tuple[str, Callable[[Draws, Tensor, Tensor], tuple[Tensor, ...]]]  # its name; heights, widths -> top, left, height, width
CROPS = {"random_resized_crop": aspect_windows, "scale_jitter": scaled_windows}  # the augmentations that the decoding processes do
PREFETCH = 2  # batches of each process that are under way or waiting


class _Feed:
    """The requests of the epoch under way, as a sampler."""

    def __init__(self) -> None:
        self.requests: Iterator[Request] = iter(())

    def __iter__(self) -> Iterator[Request]:
        return self.requests


_idle: dict[tuple, list[DataLoader]] = {}  # processes outlive the epoch and the split that started them


@contextmanager
def _borrowed(decoder: Decoder, workers: int, pin: bool) -> Iterator[DataLoader]:
    """A loader that nobody else is using, its processes running if it was used before."""
    waiting = _idle.setdefault((decoder, workers, pin), [])
    started = {"multiprocessing_context": DecodingContext(), "persistent_workers": True, "prefetch_factor": PREFETCH}
    running: dict[str, Any] = started if workers else {}
    own: dict[str, Any] = {"sampler": _Feed(), "generator": torch.Generator(), "collate_fn": unchanged}  # no global generator
    loader = (
        waiting.pop() if waiting else DataLoader(decoder, batch_size=None, num_workers=workers, pin_memory=pin, **own, **running)
    )
    try:
        yield loader
    finally:
        waiting.append(loader)
        _stop_at_exit()


def stop_processes() -> None:
    """End the decoding processes that nobody uses; the next epoch starts new ones."""
    _idle.clear()


def _stop_at_exit() -> None:
    """Once more for each loader: what is registered last is called first, and torch 2.11's own waits 5 s for each idle process."""
    if multiprocessing.parent_process() is None:  # a child's end terminates its processes before anything of atexit is called
        atexit.unregister(stop_processes)
        atexit.register(stop_processes)


@dataclass(frozen=True)
class Stream:
    """A split of encoded images for `device`, decoded by `workers` processes (0: by this one).

    Training images are cut by `crop`, a named function of their draws and sizes; without one they are cut as evaluated ones are.
    """

    files: Files
    device: torch.device
    workers: int = 0
    crop: Crop | None = None

    def __len__(self) -> int:
        return len(self.files)

    @property
    def labels(self) -> Tensor:
        """int64 (N,), on the CPU."""
        return torch.from_numpy(self.files.labels)

    def raw_batches(self, order: Order, epoch: int, *, first_batch: int = 0) -> Iterator[RawBatch]:
        """The batches of an epoch on the device, channels_last; raises UserError naming an image that cannot be read."""
        labels = self.labels
        ahead, behind = tee(order.batches(epoch, first_batch=first_batch))
        requests = (self._cut(samples, places, order.seed, epoch) for samples, places in ahead)
        for images, (samples, places) in zip(self._decoded(requests), behind, strict=True):
            yield images, moved(labels[samples], self.device), moved(places, self.device)

    def in_order(self, batch_size: int, view: Literal["centre", "corners"] = "centre") -> Iterator[tuple[Tensor, Tensor]]:
        """Images (B, C, H, W), or with `corners` five views (B, 5, C, H, W), and labels in their own order, on the device."""
        labels, batches = self.labels, torch.arange(len(self)).split(batch_size)
        requests = (self._request(samples, view) for samples in batches)
        for images, samples in zip(self._decoded(requests), batches, strict=True):
            yield images, moved(labels[samples], self.device)

    def _cut(self, samples: Tensor, places: Tensor, seed: int, epoch: int) -> Request:
        if self.crop is None:
            return self._request(samples, "centre")
        rows = self.files.table[samples.numpy()]
        heights, widths = (torch.from_numpy(rows[side].astype(np.int64)) for side in ("height", "width"))
        name, windows = self.crop
        boxes = torch.stack(windows(Draws(seed, epoch, name, places), heights, widths), 1)
        return self._request(samples, "window", boxes.numpy())

    def _request(self, samples: Tensor, view: str, boxes: np.ndarray | None = None) -> Request:
        rows = self.files.table[samples.numpy()]
        return Request(samples.numpy(), rows["offset"].copy(), rows["length"].copy(), view, boxes)

    def _decoded(self, requests: Iterator[Request]) -> Iterator[Tensor]:
        decoder = Decoder(self.files.archive, self.files.form)
        with _borrowed(decoder, self.workers, self.device.type == "cuda") as loader:
            loader.sampler.requests = requests
            for images in loader:
                if isinstance(images, Broken):
                    raise unreadable(self.files.name(images.sample), images.reason)
                yield moved(images.movedim(-1, -3), self.device)
