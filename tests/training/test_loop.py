"""The loop against the written-out update, its budget, its records, divergence, and bitwise resume."""

import math

import numpy as np
import pytest
import torch
from feeds import Given
from torch import nn
from whole_runs import InterruptAt, Never, fit, score, train

from reslab.data.augment.recipe import Recipe
from reslab.data.batches.order import Order
from reslab.data.batches.resident import Resident
from reslab.data.batches.training import TrainingBatches
from reslab.data.normalize import Normalize
from reslab.data.prepared.splits import Arrays
from reslab.experiment.bound import make_schedule
from reslab.models.tau_resnet import tau_resnet
from reslab.training import checkpoint
from reslab.training.evaluation import wrong
from reslab.training.log import Log
from reslab.training.losses import cross_entropy
from reslab.training.optim.optimizers import sgd
from reslab.training.schedule.schedules import Budget
from reslab.training.step import TrainingStep

CPU = torch.device("cpu")
LOSS = cross_entropy()


def batches(epoch: int, count: int = 4, dtype=torch.float64) -> list:
    generator = torch.Generator().manual_seed(epoch)
    return [
        (torch.randn(8, 5, generator=generator, dtype=dtype), torch.randint(3, (8,), generator=generator)) for _ in range(count)
    ]


def linear(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Linear(5, 3).double()


def run(model, optimizer, schedule, *, steps: int) -> list:
    return fit(TrainingStep(model, optimizer, LOSS, Given(batches)), schedule, Budget(steps, 4))


@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_is_the_papers_update(nesterov):
    """v = m v + (g + wd w); w -= lr v, or lr (g + wd w + m v) with Nesterov; 20 steps in float64 with a rate that drops."""
    lr, momentum, decay = 0.3, 0.9, 0.01
    model, expected = linear(), linear()
    schedule = make_schedule({"name": "multistep", "milestones": [10], "unit": "iterations"}, Budget(20, 4))
    run(model, sgd(model, lr=lr, momentum=momentum, weight_decay=decay, nesterov=nesterov), schedule, steps=20)
    velocity = [torch.zeros_like(parameter) for parameter in expected.parameters()]
    for step in range(20):
        images, labels = batches(1 + step // 4)[step % 4]
        gradients = torch.autograd.grad(LOSS(expected(images), labels), list(expected.parameters()))
        with torch.no_grad():
            for parameter, gradient, v in zip(expected.parameters(), gradients, velocity, strict=True):
                gradient = gradient + decay * parameter
                v.mul_(momentum).add_(gradient)
                parameter -= lr * (0.1 if step >= 10 else 1) * (gradient + momentum * v if nesterov else v)
    for ours, theirs in zip(model.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-14)


def test_budget_in_steps_cuts_the_last_epoch():
    model = linear()
    records = run(model, sgd(model, lr=0.1), make_schedule({"name": "constant"}, Budget(10, 4)), steps=10)
    assert [(record.epoch, record.step, record.images) for record in records] == [(1, 4, 32), (2, 8, 32), (3, 10, 16)]


def test_records_are_the_means_over_the_epoch():
    model, twin = linear(), linear()
    (record,) = run(model, sgd(model, lr=0.0), make_schedule({"name": "constant"}, Budget(4, 4)), steps=4)
    data = batches(1)
    logits, labels = torch.cat([twin(images) for images, _ in data]), torch.cat([labels for _, labels in data])
    assert record.loss == pytest.approx(LOSS(logits, labels).item(), rel=1e-12)
    assert record.error == (logits.argmax(1) != labels).double().mean().item()
    assert record.lr == 0.0


def test_scalars_learn_at_their_own_rate():
    model = tau_resnet(1, 10, depth=8, norm="none", tau=0.5)
    optimizer = sgd(model, lr=0.1, scalar_lr=0.1)
    groups = {group["name"]: (len(group["params"]), group["initial_lr"]) for group in optimizer.param_groups}
    assert groups == {"all": (1 + 2 * 3 + 2, 0.1), "scalars": (1 + 4 * 3, pytest.approx(0.01))}
    assert [group["name"] for group in sgd(tau_resnet(1, 10, depth=8), lr=0.1, scalar_lr=0.1).param_groups] == ["all"]


def test_divergence_ends_the_run_and_is_recorded():
    model = nn.Sequential(nn.Linear(5, 5), nn.Linear(5, 3)).double()
    records = run(model, sgd(model, lr=1e200), make_schedule({"name": "constant"}, Budget(40, 4)), steps=40)
    assert len(records) < 10
    assert records[-1].diverged and not any(record.diverged for record in records[:-1])


def test_no_answer_is_a_wrong_answer():
    logits = torch.tensor([[1.0, 0.0], [math.nan, 0.0], [math.inf, 0.0], [0.0, 1.0]])
    assert wrong(logits, torch.tensor([0, 0, 0, 0])).tolist() == [False, True, True, True]


def test_evaluation_counts_every_image_once_whatever_the_batches():
    model, data = linear(), batches(1)
    images, labels = torch.cat([x for x, _ in data]), torch.cat([y for _, y in data])
    uneven = list(zip(images.split(7), labels.split(7), strict=True))
    scored = score(model, Given(lambda epoch: uneven), LOSS)
    assert scored.error == (model(images).argmax(1) != labels).double().mean().item()
    assert scored.loss == pytest.approx(LOSS(model(images), labels).item(), rel=1e-12)


@pytest.fixture
def digits_like() -> tuple[Arrays, Normalize]:
    generator = np.random.default_rng(0)
    split = Arrays(generator.integers(0, 256, (40, 1, 8, 8), dtype=np.uint8), np.arange(40) % 10)
    return split, Normalize([0.5], [0.3], device=CPU, dtype=torch.float32)


def training_batches(data: Arrays, normalize: Normalize) -> TrainingBatches:
    return TrainingBatches(Resident(data, Order(len(data), 16), CPU), Recipe(), normalize)


# An epoch has three steps: at its end before and after it is logged, within, before its last.
@pytest.mark.parametrize(("until", "within"), [(6, True), (6, False), (7, True), (8, True), (14, True)])
@pytest.mark.parametrize("norm", ["batch", "none"])
def test_resume_is_bitwise_the_uninterrupted_run(digits_like, tmp_path, norm, until, within):
    data, normalize = digits_like
    spec = {"name": "cosine", "warmup": {"name": "until_train_error", "every": 4, "below": 0.95}}

    def start():
        torch.manual_seed(0)
        model = tau_resnet(1, 10, depth=8, norm=norm, tau=0.5).to(memory_format=torch.channels_last)
        optimizer = sgd(model, lr=0.1, momentum=0.9, weight_decay=1e-4, scalar_lr=0.1)
        return TrainingStep(model, optimizer, LOSS, training_batches(data, normalize)), make_schedule(spec, Budget(15, 3))

    budget, path = Budget(15, 3), tmp_path / "c.pt"
    whole, schedule = start()
    straight = train(whole, schedule, budget, Log(), checkpointer=Never())
    (step, schedule), log = start(), Log()
    train(step, schedule, budget, log, checkpointer=InterruptAt(path, step, schedule, log, until, within_epoch=within))
    assert (log.position.step, log.position.epoch_steps > 0) == (until, within)
    resumed, schedule = start()
    log = train(resumed, schedule, budget, checkpoint.restore(path, resumed, schedule), checkpointer=Never())
    assert log.resumed == 1
    assert log.history == straight.history
    assert len(log.history) == 5
    states = (step.model.state_dict().values() for step in (whole, resumed))
    assert all(torch.equal(a, b) for a, b in zip(*states, strict=True))


def test_two_steps_change_every_tensor(digits_like):
    data, normalize = digits_like
    model = tau_resnet(1, 10, depth=8, norm="none", tau=0.5)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    step = TrainingStep(model, sgd(model, lr=0.1), LOSS, training_batches(data, normalize))
    fit(step, make_schedule({"name": "constant"}, Budget(2, 3)), Budget(2, 3))
    assert not any(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
