"""The list `augment`: what stands where, what cannot be meant, and that a plain list is what it always was."""

import numpy as np
import pytest
import torch

from reslab.config.yaml import parse_yaml
from reslab.data.augment.recipe import AUGMENTATIONS, MIXINGS, recipe
from reslab.data.batches.order import Order
from reslab.data.batches.resident import Resident
from reslab.data.batches.training import TrainingBatches
from reslab.data.normalize import Normalize
from reslab.data.prepared.splits import Arrays
from reslab.errors import UserError
from reslab.targets import MixedTargets

CPU = torch.device("cpu")
REQUIRED = {"cutout": {"size": 3}, "dual_cutout": {"size": 3}, "pad_crop": {"padding": 2}}


@pytest.fixture
def data() -> Arrays:
    images = np.random.default_rng(0).integers(1, 256, (40, 3, 8, 8), dtype=np.uint8)
    return Arrays(images, np.arange(40))


def batches(data: Arrays, steps: str, *, batch_size: int = 40, dtype: torch.dtype = torch.float64, **order) -> list:
    normalize = Normalize([0.5] * 3, [0.25] * 3, device=CPU, dtype=dtype)
    raw = Resident(data, Order(len(data), batch_size, **order), CPU)
    return list(TrainingBatches(raw, recipe(parse_yaml(steps)), normalize).iterate(1))


BLACK, MEAN = (0 - 0.5) / 0.25, 0.0


def test_steps_before_the_marker_see_pixels_and_after_it_normalised_floats(data):
    for steps, fill in (
        ("[{name: cutout, size: 3, inside: true}]", BLACK),
        ("[{name: cutout, size: 3, inside: true}, {name: normalize}]", BLACK),
        ("[{name: normalize}, {name: cutout, size: 3, inside: true}]", MEAN),
    ):
        ((images, labels),) = batches(data, steps)
        plain = {int(label): image for image, label in zip(*batches(data, "[]")[0], strict=True)}
        changed = images != torch.stack([plain[label] for label in labels.tolist()])
        assert changed.flatten(1).sum(1).tolist() == [27] * 40
        torch.testing.assert_close(images[changed].unique(), torch.tensor([fill], dtype=torch.float64))


def test_padding_is_black_before_the_marker_and_the_mean_after_it(data):
    for steps, fill in (("[{name: pad_crop, padding: 4}]", BLACK), ("[{name: normalize}, {name: pad_crop, padding: 4}]", MEAN)):
        ((images, _),) = batches(data, steps)
        border = images[:, :, [0, -1]][:, :, :, [0, -1]]
        assert (torch.isclose(border, torch.tensor(fill, dtype=torch.float64))).any(), fill
        assert images.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("name", MIXINGS)
def test_a_mixing_works_on_what_all_other_steps_left(data, name):
    spec = {"name": name} | REQUIRED.get(name, {})
    made = recipe([{"name": "flip"}, spec])
    assert [stream for stream, _ in made.augmentations] == ["flip"]
    assert made.finish.mixing[0] == name
    ((images, targets),) = batches(data, f"[{{name: flip}}, {{name: normalize}}, {spec}]".replace("'", ""))
    assert images.dtype == torch.float64
    assert images.dim() == (5 if name == "dual_cutout" else 4)
    assert isinstance(targets, torch.Tensor if name == "dual_cutout" else MixedTargets)
    ((unmarked, _),) = batches(data, f"[{{name: flip}}, {spec}]".replace("'", ""))
    assert torch.equal(images, unmarked)


def test_a_step_draws_the_same_on_either_side_of_the_marker(data):
    ((before, _),) = batches(data, "[{name: flip}]")
    ((after, _),) = batches(data, "[{name: normalize}, {name: flip}]")
    assert torch.equal(before, after)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_every_augmentation_runs_in_an_epoch(data, name):
    spec = str({"name": name} | REQUIRED.get(name, {})).replace("'", "")
    small = torch.cat([images for images, _ in batches(data, f"[{spec}]", batch_size=7)])
    large = torch.cat([images for images, _ in batches(data, f"[{spec}]", batch_size=40)])
    assert torch.equal(small, large)


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ("[{name: mixup}, {name: cutmix}]", r"augment\[0\]: mixup and cutmix cannot be combined"),
        ("[{name: flip}, {name: dual_cutout, size: 3}, {name: mixup}]", r"augment\[1\]: dual_cutout and mixup cannot be combined"),
        ("[{name: mixup}, {name: flip}]", r"augment\[0\]: mixup must be the last step, flip comes after it"),
        ("[{name: mixup}, {name: normalize}]", r"augment\[0\]: mixup must be the last step, normalize comes after it"),
        ("[{name: normalize}, {name: flip}, {name: normalize}]", r"augment\[2\]: normalize is in the list already"),
        ("[{name: normalize, mean: 0}]", r"augment\[0\]: unknown key 'mean'"),
        ("[{name: flip}, {name: cutuot, size: 3}]", r"augment\[1\]\.name: unknown name 'cutuot' \(did you mean 'cutout'\?\)"),
        ("[{name: flip}, {name: cutout}]", r"augment\[1\]: missing key 'size'"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_the_reason(steps, message):
    with pytest.raises(UserError, match=f"^{message}"):
        recipe(parse_yaml(steps))


def test_with_replacement_an_epoch_is_independent_draws_each_augmented_on_its_own(data):
    steps = "[{name: flip}, {name: pad_crop, padding: 2}]"
    first, again = (batches(data, steps, batch_size=16, replacement=True) for _ in range(2))
    labels = torch.cat([labels for _, labels in first])
    assert [len(labels) for _, labels in first] == [16, 16, 8]
    assert all(torch.equal(one[0], other[0]) for one, other in zip(first, again, strict=True))
    counts = torch.bincount(labels, minlength=40)
    assert 20 <= int((counts > 0).sum()) <= 31  # 1 - 1/e of 40 is 25
    images = torch.cat([images for images, _ in first])
    twice = images[labels == counts.argmax()]
    assert len(twice.unique(dim=0)) > 1


def test_an_image_is_drawn_as_often_as_chance_has_it():
    from scipy import stats

    from reslab.data.batches.order import with_replacement

    drawn = torch.cat([with_replacement(50, seed=0, epoch=epoch) for epoch in range(400)])
    assert stats.chisquare(torch.bincount(drawn, minlength=50).numpy()).pvalue > 0.01
    pairs = torch.stack([with_replacement(2, seed=0, epoch=epoch) for epoch in range(4_000)])
    assert stats.chisquare(torch.bincount(pairs[:, 0] * 2 + pairs[:, 1], minlength=4).numpy()).pvalue > 0.01
