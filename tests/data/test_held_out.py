"""Ten crops: the views are torchvision's, from memory and from files, and their answers are averaged as said."""

import math

import pytest
import torch
from pictures import prepare, write_pictures
from torch import nn
from torchvision import transforms
from whole_runs import score

from reslab.data.batches.held_out import HeldOutBatches, TenCrops
from reslab.data.batches.hosted import Hosted
from reslab.data.batches.resident import Resident
from reslab.data.decode import opened
from reslab.data.normalize import Normalize
from reslab.data.prepared.splits import Arrays
from reslab.training.evaluation import AVERAGES
from reslab.training.losses import cross_entropy

CPU = torch.device("cpu")
PIXELS = Normalize([0.0] * 3, [1 / 255] * 3, device=CPU, dtype=torch.float64)  # leaves whole numbers as they are


@pytest.fixture
def split(small_images) -> Arrays:
    return small_images.test


def test_views_of_images_in_memory(split, monkeypatch):
    for kind, memory in ((Resident, ""), (Hosted, "0")):
        monkeypatch.setenv("RESLAB_RESIDENT_GIB", memory)
        batches = HeldOutBatches(split, PIXELS, CPU, ten=TenCrops(padding=2))
        assert isinstance(batches.raw, kind)
        ((views, labels),) = batches.iterate()
        five = transforms.Compose([transforms.Pad(2), transforms.FiveCrop(8), torch.stack])
        expected = torch.stack([five(image) for image in torch.from_numpy(split.images)])
        assert torch.equal(views[:, :5], expected.double())
        assert torch.equal(views[:, 5:], expected.flip(4).double())
        assert labels.tolist() == split.labels.tolist()


def test_views_of_encoded_images(tmp_path):
    data = prepare(write_pictures(tmp_path / "in", test=30), tmp_path, stored="files").test
    batches = list(HeldOutBatches(data, PIXELS, CPU, ten=TenCrops()).iterate())
    assert [len(labels) for _, labels in batches] == [20, 10]
    views = torch.cat([views for views, _ in batches])
    crops = transforms.Compose([transforms.Resize(36), transforms.FiveCrop(32)])
    for row, found in zip(data.table, views, strict=True):
        image = opened(data.archive.read_bytes()[row["offset"] :][: row["length"]], 3)
        expected = torch.stack([transforms.functional.pil_to_tensor(crop) for crop in crops(image)])
        assert torch.equal(found[:5], expected.double())
        assert torch.equal(found[5:], expected.flip(3).double())


def test_each_view_is_normalised_as_an_image_is(split):
    normalize = Normalize([0.5, 0.4, 0.3], [0.2, 0.25, 0.3], device=CPU, dtype=torch.float32)
    ((views, _),) = HeldOutBatches(split, normalize, CPU, ten=TenCrops(padding=1)).iterate()
    ((images, _),) = HeldOutBatches(split, normalize, CPU).iterate()
    assert views.shape == (12, 10, 3, 8, 8)
    assert torch.equal(views[:, 4], images)
    assert torch.equal(views[:, 9], images.flip(3))
    assert all(view.is_contiguous(memory_format=torch.channels_last) for view in views.unbind(1))


class Corner(nn.Module):
    """Says what stands in the top left pixel, and so another thing of each view."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.scale * images[:, :, 0, 0]


@pytest.mark.parametrize("average", AVERAGES)
def test_answers_are_averaged(split, average):
    normalize = Normalize([0.5] * 3, [0.25] * 3, device=CPU, dtype=torch.float32)
    labels = split.labels % 3
    three_classes = Arrays(split.images, labels)
    batches = HeldOutBatches(three_classes, normalize, CPU, ten=TenCrops(padding=1))
    scored = score(Corner(), batches, cross_entropy(), average=AVERAGES[average])
    logits = next(batches.iterate())[0][:, :, :, 0, 0]
    mean = logits.softmax(2).mean(1) if average == "softmax" else logits.mean(1).softmax(1)
    right = mean[torch.arange(12), torch.from_numpy(labels)]
    assert scored.loss == pytest.approx(-right.log().mean().item(), rel=1e-5)
    assert scored.error == pytest.approx((mean.argmax(1) != torch.from_numpy(labels)).double().mean().item())
    assert score(Corner(), HeldOutBatches(three_classes, normalize, CPU), cross_entropy()).loss != scored.loss


def test_the_two_averages_differ():
    logits = torch.tensor([[[4.0, 0.0], [-1.0, 0.0], [-1.0, 0.0], [-1.0, 0.0]]])
    assert AVERAGES["logits"](logits).argmax() == 0
    assert AVERAGES["softmax"](logits).argmax() == 1
    assert AVERAGES["softmax"](logits).exp().sum().item() == pytest.approx(1.0)
    assert math.isnan(AVERAGES["softmax"](torch.full((1, 2, 2), math.nan))[0, 0].item())
