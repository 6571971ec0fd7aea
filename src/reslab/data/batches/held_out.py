"""Batches of a split that is only scored: each image once, or in ten crops, over which training/evaluation.py averages."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from reslab.config.train import SCORED_AT_ONCE
from reslab.data.batches.finished import Batches
from reslab.data.batches.order import Order
from reslab.data.batches.placement import placed
from reslab.data.normalize import Normalize
from reslab.data.prepared.splits import Files, Split
from reslab.runs.ranks import ALONE, Ranks
from reslab.targets import Batch

DECODED_AT_ONCE = 100  # images of a batch from files, which are large
ON_GPU = 2500  # images of CIFAR's size: fewer batches, fewer kernels to launch
PIXELS = 3 * 32 * 32


@dataclass(frozen=True)
class TenCrops:
    """The four corners and the middle of an image, and their mirror images: Krizhevsky et al. 2012, section 4.1.

    Of encoded images they are cut from the image resized to `resize`. Images in memory have no more pixels than the network takes:
    they get `padding` zeros on each side first, and the views are the outermost and the middle window that `pad_crop` draws.
    """

    padding: int | None = None


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


def images_at_once(split: Split, device: torch.device) -> int:
    """The number of images that are scored together: a GPU takes more of them, as long as they are small."""
    if isinstance(split, Files):
        return DECODED_AT_ONCE
    small = split.images[0].size <= PIXELS
    return ON_GPU if device.type == "cuda" and small else SCORED_AT_ONCE


class HeldOutBatches(Batches):
    """A split that is only scored: in its own order, normalised, not augmented, each image once or in ten crops."""

    def __init__(
        self, split: Split, normalize: Normalize, device: torch.device, *, ten: TenCrops | None = None, ranks: Ranks = ALONE
    ) -> None:
        order = Order(len(split), images_at_once(split, device) // (5 if ten else 1), shuffle=False, ranks=ranks)
        super().__init__(placed(split, order, device, "corners" if ten else "centre"))
        self.normalize, self.ten = normalize, ten

    def batch(self, size: int) -> Batch:
        """The next batch: images (B, C, H, W), or ten views of each, (B, 10, C, H, W)."""
        images, labels, _ = self.raw.take(size)
        if self.ten is None:
            return self.normalize(images), labels
        five = images if images.dim() == 5 else five_windows(images, padding=self.ten.padding)  # files are cut as they are decoded
        views = with_mirrored(five).transpose(0, 1)  # view by view, so that each is channels_last
        return self.normalize(views.flatten(0, 1)).unflatten(0, views.shape[:2]).transpose(0, 1), labels
