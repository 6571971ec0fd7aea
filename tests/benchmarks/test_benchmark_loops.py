"""The loops of the benchmark: the same network, recipe and images for each; what they cannot share is refused."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from contest.plan import Case
from loops import build
from loops.job import Job
from loops.public import Trainee
from reslab.data import prepared
from reslab.errors import UserError


@pytest.fixture
def job(tmp_path, small_images):
    """Four classes of random 3x8x8 images; ResNet-8."""
    prepared.save(small_images, tmp_path / "data", name="small", validation=0)
    change = {"model": {"depth": 8}, "augment": [{"name": "pad_crop", "padding": 1}, {"name": "flip"}], "train": {"batch_size": 16}}
    return Job(Case("small", change, 40, 12).sections, tmp_path / "data", "cpu", workers=0, level="eager")


def test_every_loop_starts_from_the_same_network_and_sees_the_same_test_images(job):
    losses = {}
    for name in ("ours", "conventional", "tuned", "speedrun"):
        loop = build(name, job)
        model = (loop.networks[0].run if name == "ours" else loop.trainee).model.eval()
        batches = {
            "ours": lambda loop=loop: next(loop.networks[0].run.held_out["test"].iterate()),
            "speedrun": lambda loop=loop: (loop.tests, loop.test_labels),
        }.get(name, lambda loop=loop: next(iter(loop.tests)))
        images, _ = batches()
        with torch.no_grad():
            losses[name] = model(images)
    for name, logits in losses.items():
        torch.testing.assert_close(logits, losses["ours"], rtol=1e-4, atol=1e-5, msg=name)


def windows(images: np.ndarray, padding: int) -> set[bytes]:
    """Every crop of every image, as it is and mirrored."""
    padded = np.pad(images, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    size = images.shape[2]
    crops = [padded[:, :, y : y + size, x : x + size] for y in range(2 * padding + 1) for x in range(2 * padding + 1)]
    return {
        np.ascontiguousarray(form[i]).tobytes() for crop in crops for form in (crop, crop[..., ::-1]) for i in range(len(images))
    }


@pytest.mark.parametrize("loop", ["conventional", "speedrun"])
def test_the_others_augment_by_the_recipe(job, loop, small_images):
    entrant = build(loop, job)
    recipe = entrant.trainee.recipe
    images = entrant._augmented() if loop == "speedrun" else torch.cat([inputs for inputs, _ in entrant.batches])
    mean, std = (torch.tensor(values)[:, None, None] for values in (recipe.mean, recipe.std))
    pixels = ((images * std + mean) * 255).round().to(torch.uint8).contiguous().numpy()
    allowed = windows(small_images.train.images, 1)
    assert len(pixels) == 40
    assert all(image.tobytes() in allowed for image in pixels)
    plain = {image.tobytes() for image in small_images.train.images}
    assert sum(image.tobytes() not in plain for image in pixels) > 20


def test_every_loop_counts_the_images_of_the_tail(job):
    assert {name: build(name, job).train(1).images for name in ("ours", "conventional", "speedrun")} == dict.fromkeys(
        ("ours", "conventional", "speedrun"), 40
    )
    dropping = replace(job, sections=job.sections | {"train": job.sections["train"] | {"drop_last": True}})
    assert {name: build(name, dropping).train(1).images for name in ("ours", "conventional", "speedrun")} == dict.fromkeys(
        ("ours", "conventional", "speedrun"), 32
    )


@pytest.mark.parametrize(
    ("section", "value", "message"),
    [
        ("augment", [{"name": "cutout", "size": 4}], "augment: .'cutout'. cannot be compared"),
        ("augment", [{"name": "pad_crop", "padding": 1, "mode": "reflect"}], "augment: .* cannot be compared"),
        ("normalize", {"name": "mean_image"}, "normalize: a mean image cannot be compared"),
        ("train", {"ema": 0.9}, "train.ema: cannot be compared"),
        ("train", {"precision": "float64"}, "train.precision: float64 cannot be compared; allowed: float32"),
    ],
)
def test_what_only_ours_can_do_is_refused(job, section, value, message):
    value = job.sections[section] | value if section == "train" else value
    with pytest.raises(UserError, match=message):
        Trainee(replace(job, sections=job.sections | {section: value}))
