"""What only a GPU can show: the same data and draws as on the CPU, a run that repeats bitwise."""

import numpy as np
import pytest
import torch
from feeds import Given
from whole_runs import fit

from reslab.config.schema import bind
from reslab.data.augment.draws import Draws
from reslab.data.augment.geometry import flip, pad_crop
from reslab.data.augment.recipe import MIXINGS, STEPS, Recipe, recipe
from reslab.data.batches.order import Order
from reslab.data.batches.resident import Resident
from reslab.data.batches.training import TrainingBatches
from reslab.data.normalize import Normalize
from reslab.data.prepared.splits import Arrays
from reslab.experiment.bound import make_schedule
from reslab.models.tau_resnet import tau_resnet
from reslab.training.execution import hardware
from reslab.training.losses import cross_entropy
from reslab.training.optim.optimizers import OPTIMIZERS, sgd
from reslab.training.precision import PRECISIONS
from reslab.training.schedule.schedules import Budget
from reslab.training.step import StepRule, TrainingStep

pytestmark = [
    pytest.mark.filterwarnings("ignore:TensorFloat32"),  # the compiler advises it; a study decides
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def training_batches(device: str) -> TrainingBatches:
    images = np.random.default_rng(0).integers(0, 256, (300, 3, 32, 32), dtype=np.uint8)
    raw = Resident(Arrays(images, np.arange(300) % 10), Order(300, 128, seed=3), torch.device(device))
    normalize = Normalize([0.5] * 3, [0.25] * 3, device=torch.device(device), dtype=torch.float32)
    streams = [("pad_crop", lambda x, draws: pad_crop(x, draws, padding=4)), ("flip", flip)]
    return TrainingBatches(raw, Recipe(streams), normalize)


def test_draws_are_those_of_the_cpu():
    index = torch.arange(10_000)
    here, there = (Draws(1, 2, "s", index.to(device)).uniform("n").cpu() for device in ("cpu", "cuda"))
    assert torch.equal(here, there)


def test_batches_are_those_of_the_cpu():
    batches = (training_batches(device).iterate(1) for device in ("cpu", "cuda"))
    for (images, labels), (gpu_images, gpu_labels) in zip(*batches, strict=True):
        assert torch.equal(labels, gpu_labels.cpu())
        torch.testing.assert_close(images, gpu_images.cpu(), rtol=0, atol=1e-6)


REQUIRED = {"cutout": {"size": 16}, "dual_cutout": {"size": 16}, "pad_crop": {"padding": 4}}
RESAMPLING = ("random_resized_crop", "scale_jitter", "colour_jitter", "lighting", "trivial_augment", "rand_augment")


@pytest.mark.parametrize("name", [name for name in STEPS if name != "normalize"])
def test_augmentations_are_those_of_the_cpu(name):
    if name in MIXINGS:
        pytest.importorskip("scipy")  # quantiles of the beta distribution
    if name in ("colour_jitter", "trivial_augment", "rand_augment"):
        pytest.importorskip("torchvision")
    made, found = recipe([{"name": name} | REQUIRED.get(name, {})]), []
    for device in map(torch.device, ("cpu", "cuda")):
        images = np.random.default_rng(0).integers(0, 256, (64, 3, 32, 32), dtype=np.uint8)
        raw = Resident(Arrays(images, np.arange(64)), Order(64, 64), device)
        normalize = Normalize([0.5] * 3, [0.25] * 3, device=device, dtype=torch.float32)
        found.append(next(TrainingBatches(raw, made, normalize).iterate(1)))
    (images, targets), (gpu_images, gpu_targets) = found
    one_level = 1.01 / 255 / 0.25  # where rounding to a pixel value may go either way
    torch.testing.assert_close(images, gpu_images.cpu(), rtol=0, atol=one_level if name in RESAMPLING else 1e-5)
    for ours, theirs in zip(targets, gpu_targets, strict=True):
        torch.testing.assert_close(ours, theirs.cpu())


@pytest.mark.parametrize("norm", ["batch", "none"])
def test_a_run_repeats_bitwise(norm):
    device = torch.device("cuda")
    hardware.prepare(device, precision="float32", fast=False)
    states = []
    for _ in range(2):
        torch.manual_seed(0)
        model = tau_resnet(3, 10, depth=20, norm=norm, tau="1/sqrt(L)").to(device, memory_format=torch.channels_last)
        optimizer, schedule = sgd(model, lr=0.1, momentum=0.9), make_schedule({"name": "cosine"}, Budget(9, 3))
        records = fit(TrainingStep(model, optimizer, cross_entropy(), training_batches("cuda")), schedule, Budget(9, 3))
        assert not records[-1].diverged
        states.append({name: tensor.cpu() for name, tensor in model.state_dict().items()})
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def losses(device: str, precision: str, optimizer: dict) -> list[float]:
    """The mean losses of three epochs on ever the same batches."""
    hardware.prepare(torch.device(device), precision=precision, fast=False)
    numbers = PRECISIONS[precision]
    torch.manual_seed(0)
    model = numbers.convert(tau_resnet(3, 10, depth=8, tau="1/sqrt(L)").to(device, memory_format=torch.channels_last))
    scaler = torch.amp.GradScaler(device, enabled=numbers.scales_loss)
    rule = StepRule(precision=numbers, scaler=scaler, ghost_batch_size=48, gradient_clip=1.0)
    learner = bind(OPTIMIZERS, {"lr": 0.01} | optimizer, "optimizer")(model)
    batches = [(images.to(numbers.images), labels) for images, labels in training_batches(device).iterate(1)]
    schedule = make_schedule({"name": "constant"}, Budget(9, 3))
    step = TrainingStep(model, learner, cross_entropy(), Given(lambda number: batches), rule)
    return [epoch.loss for epoch in fit(step, schedule, Budget(9, 3))]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_every_precision_trains_as_on_the_cpu(precision):
    momentum = {"name": "sgd", "momentum": 0.9}
    assert losses("cuda", precision, momentum) == pytest.approx(losses("cpu", precision, momentum), abs=0.05)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_trains_as_on_the_cpu(name):
    spec = {"name": name} | ({"rule": "hysts"} if name == "lars" else {})
    assert losses("cuda", "float64", spec) == pytest.approx(losses("cpu", "float64", spec), rel=1e-4)
