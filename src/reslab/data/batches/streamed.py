"""A split that is decoded while it is used: processes decode, cut and resize; the rest is done on the device, in batches.

The order of the samples and every draw are those of a split in memory: they depend on (seed, epoch, sample) alone, not on the
number of processes, so an epoch can begin at any batch.
"""

import atexit
import math
import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import tee
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from reslab.data.augment.draws import Draws
from reslab.data.augment.resized_crop import aspect_windows, scaled_windows
from reslab.data.batches.decoder import Broken, Decoder, DecodingContext, Failed, Request, hand_signals_on, unchanged
from reslab.data.batches.order import Order
from reslab.data.batches.raw import FromHost, RawBatch, moved
from reslab.data.batches.waiting import check_addresses, check_shared_memory, not_for_ever, own_child_signal
from reslab.data.form import unreadable
from reslab.data.prepared.splits import Files
from reslab.data.whole import CHANGED, changed
from reslab.errors import UserError

Crop = tuple[str, Callable[[Draws, Tensor, Tensor], tuple[Tensor, ...]]]  # its name; heights, widths -> top, left, height, width
Cut = Literal["centre", "corners"] | Crop
CROPS = {"random_resized_crop": aspect_windows, "scale_jitter": scaled_windows}  # the augmentations that the decoding processes do
PREFETCH = 2  # batches of each process that are under way or waiting
IN_USE = 2  # further batches: the one that the device takes, and the next


class _Requests:
    """The requests of the epoch under way, as a sampler."""

    def __init__(self) -> None:
        self.requests: Iterator[Request] = iter(())

    def __iter__(self) -> Iterator[Request]:
        return self.requests


_idle: dict[tuple, list[DataLoader]] = {}  # processes outlive the epoch and the split that started them


@contextmanager
def _borrowed(decoder: Decoder, workers: int, pin: bool) -> Iterator[DataLoader]:
    """A loader that is not in use, with its processes still running if it was used before."""
    waiting = _idle.setdefault((decoder, workers, pin), [])
    started = {
        "multiprocessing_context": DecodingContext(),
        "worker_init_fn": hand_signals_on,
        "persistent_workers": True,
        "prefetch_factor": PREFETCH,
    }
    running: dict[str, Any] = started if workers else {}
    own: dict[str, Any] = {"sampler": _Requests(), "generator": torch.Generator(), "collate_fn": unchanged}  # no global generator
    loader = (
        waiting.pop() if waiting else DataLoader(decoder, batch_size=None, num_workers=workers, pin_memory=pin, **own, **running)
    )
    try:
        yield loader
    except Exception:  # its processes may be gone
        raise
    except BaseException:  # the epoch was abandoned
        waiting.append(loader)
        raise
    else:
        waiting.append(loader)
    finally:
        _stop_at_exit()


def _batches(loader: DataLoader) -> Iterator[Tensor | Broken | Failed]:
    """The batches of an epoch; raises UserError for processes that are gone, or make no progress."""
    if not loader.num_workers:
        yield from loader
        return
    processes = loader.multiprocessing_context.processes
    with not_for_ever(processes), own_child_signal():
        coming = iter(loader)
    while True:
        with not_for_ever(processes):
            images = next(coming, None)
        if images is None:
            return
        yield images


def stop_processes() -> None:
    """End the idle decoding processes; the next epoch starts new ones."""
    _idle.clear()


def _stop_at_exit() -> None:
    """Once more for each loader: what is registered last is called first, and torch 2.11's own waits 5 s for each idle process."""
    if multiprocessing.parent_process() is None:  # a child's end terminates its processes before anything of atexit is called
        atexit.unregister(stop_processes)
        atexit.register(stop_processes)


class Streamed(FromHost):
    """Batches of encoded images, decoded by `workers` processes (0: by this one), and `cut` as they are decoded.

    They are cut as evaluated images are, at their `centre` or in five views (B, 5, C, H, W) at their `corners` and centre, or for
    training by a crop, a named function of their draws and sizes.
    """

    def __init__(self, files: Files, order: Order, device: torch.device, workers: int = 0, cut: Cut = "centre") -> None:
        super().__init__(order, device)
        self.files, self.labels, self.workers, self.cut = files, torch.from_numpy(files.labels), workers, cut

    def fetch(self, epoch: int, first: int) -> Iterator[RawBatch]:
        """The batches of an epoch on the device, channels_last; raises UserError naming an image that cannot be read."""
        ahead, behind = tee(self.order.batches(epoch, first))
        requests = (self._request(samples, places, epoch) for samples, places in ahead)
        for images, (samples, places) in zip(self._decoded(requests), behind, strict=True):
            yield images, moved(self.labels[samples], self.device), moved(places, self.device)

    def _request(self, samples: Tensor, places: Tensor, epoch: int) -> Request:
        rows, digests = self.files.table[samples.numpy()], self.files.digests
        wanted = {"samples": samples.numpy(), "offsets": rows["offset"].copy(), "lengths": rows["length"].copy()}
        wanted["digests"] = None if digests is None else digests[samples.numpy()]
        if isinstance(self.cut, str):
            return Request(**wanted, view=self.cut)
        name, windows = self.cut
        heights, widths = (torch.from_numpy(rows[side].astype(np.int64)) for side in ("height", "width"))
        boxes = torch.stack(windows(Draws(self.order.seed, epoch, name, places), heights, widths), 1)
        return Request(**wanted, view="window", boxes=boxes.numpy())

    def _decoded(self, requests: Iterator[Request]) -> Iterator[Tensor]:
        decoder = Decoder(self.files.archive, self.files.form)
        if self.workers:
            self._check_room(decoder)
        with _borrowed(decoder, self.workers, self.device.type == "cuda") as loader:
            loader.sampler.requests = requests
            for images in _batches(loader):
                if isinstance(images, Broken):
                    name = self.files.name(images.sample)
                    raise changed(name) if images.reason == CHANGED else unreadable(name, images.reason)
                if isinstance(images, Failed):
                    raise UserError(f"{self.files.archive}: cannot decode a batch ({images.reason})")
                yield moved(images.movedim(-1, -3), self.device)

    def _check_room(self, decoder: Decoder) -> None:
        """Raise UserError if there is too little shared memory for the batches under way, those waiting, and the one in use."""
        check_addresses()
        view = self.cut if isinstance(self.cut, str) else "window"
        parts, batches = map(self.order.part, self.order.batch_sizes), len(self.order.batch_sizes)
        largest = max(part.stop - part.start for part in parts)
        at_once = min(batches, PREFETCH * self.workers + IN_USE)
        check_shared_memory(math.prod(decoder.shape(view, largest)), at_once, each=PREFETCH)
