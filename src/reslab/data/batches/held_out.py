"""Several views of each image that is scored; what a network says of them is averaged (training/evaluation.py)."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from reslab.data.batches.feed import Gathered, Loaded
from reslab.data.batches.order import Order
from reslab.data.batches.resident import Resident
from reslab.data.batches.source import Source
from reslab.data.batches.streamed import Stream
from reslab.data.normalize import Normalize
from reslab.targets import Batch

AT_ONCE, DECODED_AT_ONCE = 500, 100  # images of a batch: small ones in memory, large ones from files


@dataclass(frozen=True)
class TenCrops:
    """The four corners and the middle of an image, and their mirror images: Krizhevsky et al. 2012, section 4.1.

    Of encoded images they are cut from the image resized to `resize`. Images in memory have no more pixels than the network takes:
    they get `padding` zeros on each side first, and the views are the outermost and the middle window that `pad_crop` draws.
    """

    padding: int | None = None


def scored(source: Source, ten: TenCrops | None = None) -> Iterator[tuple[Tensor, Tensor]]:
    """A split in its order: uint8 images (B, C, H, W), or ten views (B, 10, C, H, W), and labels int64 (B,)."""
    at_once = DECODED_AT_ONCE if isinstance(source, Stream) else AT_ONCE
    if ten is None:
        yield from source.in_order(at_once)
    elif isinstance(source, Stream):
        for five, labels in source.in_order(at_once // 5, "corners"):
            yield with_mirrored(five), labels
    else:
        for images, labels in source.in_order(at_once // 5):
            yield with_mirrored(five_windows(images, padding=ten.padding)), labels


def five_windows(images: Tensor, *, padding: int) -> Tensor:
    """The four corners and the middle of images padded by zeros, in the images' own size: (B, C, H, W) -> (B, 5, C, H, W)."""
    height, width = images.shape[2:]
    padded = F.pad(images, (padding,) * 4)
    ends = (0, 2 * padding)
    places = [*((top, left) for top in ends for left in ends), (padding, padding)]
    return torch.stack([padded[:, :, top : top + height, left : left + width] for top, left in places], 1)


def with_mirrored(views: Tensor) -> Tensor:
    """Each view and its mirror image: (B, V, C, H, W) -> (B, 2V, C, H, W)."""
    return torch.cat([views, views.flip(4)], 1)


class HeldOut:
    """A split that is only scored: in its own order, normalised, not augmented, each image once or in ten crops."""

    def __init__(self, data: Source, normalize: Normalize, *, ten: TenCrops | None = None) -> None:
        self.normalize, self.ten = normalize, ten
        at_once = (DECODED_AT_ONCE if isinstance(data, Stream) else AT_ONCE) // (5 if ten else 1)
        order = Order(len(data), at_once, seed=0)
        self.sizes = order.sizes
        if isinstance(data, Resident):
            self.raw = Gathered(data, lambda epoch: torch.arange(len(data)), batch_size=at_once)
        else:
            self.raw = Loaded(lambda epoch, first: scored(data, ten))

    def begin(self, epoch: int = 1, first: int = 0) -> list[int]:
        """Start again; return the sizes of the batches. It always starts at the first."""
        assert first == 0
        self.raw.begin(epoch, 0)
        return self.sizes

    def rewind(self) -> None:
        """Make the same batch again: for trying out."""
        self.raw.rewind()

    def load(self, size: int) -> None:
        """The host's part of the next batch."""
        self.raw.load(size)

    def batch(self, size: int) -> Batch:
        """The next batch: images (B, C, H, W), or ten views of each, (B, 10, C, H, W)."""
        images, labels, *_ = self.raw.take(size)
        if self.ten and images.dim() == 4:
            images = with_mirrored(five_windows(images, padding=self.ten.padding))
        if images.dim() == 4:
            return self.normalize(images), labels
        views = images.transpose(0, 1)  # view by view, so that each is channels_last
        return self.normalize(views.flatten(0, 1)).unflatten(0, views.shape[:2]).transpose(0, 1), labels

    def batches(self) -> Iterator[Batch]:
        """All of it."""
        for size in self.begin():
            self.load(size)
            yield self.batch(size)
