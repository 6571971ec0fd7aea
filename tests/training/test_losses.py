"""Losses against their formulas written out."""

import pytest
import torch
from torch.nn import functional as F

from reslab.config.schema import bind
from reslab.errors import UserError
from reslab.targets import MixedTargets, split_targets
from reslab.training.evaluation import wrong
from reslab.training.losses import LOSSES, cross_entropy, dual_cutout


def logits(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def mixed(count: int, classes: int, parts: int = 2) -> MixedTargets:
    generator = torch.Generator().manual_seed(1)
    weights = torch.rand(count, parts, generator=generator, dtype=torch.float64)
    return MixedTargets(torch.randint(classes, (count, parts), generator=generator), weights / weights.sum(1, keepdim=True))


def written_out(outputs: torch.Tensor, targets: MixedTargets, smoothing: float) -> torch.Tensor:
    """- sum over classes of target times log probability, the target smoothed: (1 - eps) t + eps / K."""
    classes = outputs.shape[1]
    target = torch.zeros_like(outputs).scatter_add_(1, targets.labels, targets.weights)
    target = (1 - smoothing) * target + smoothing / classes
    return -(target * outputs.log_softmax(1)).sum(1).mean()


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("parts", [1, 2, 4])
def test_mixed_targets(smoothing, parts):
    outputs, targets = logits(8, 5), mixed(8, 5, parts)
    loss = cross_entropy(label_smoothing=smoothing)
    torch.testing.assert_close(loss(outputs, targets), written_out(outputs, targets, smoothing))
    one = MixedTargets(targets.labels[:, :1], torch.ones(8, 1, dtype=torch.float64))
    torch.testing.assert_close(loss(outputs, one), loss(outputs, targets.labels[:, 0]))
    torch.testing.assert_close(loss(outputs, one), F.cross_entropy(outputs, targets.labels[:, 0], label_smoothing=smoothing))


def test_mixup_loss_is_the_weighted_sum_of_two_losses():
    outputs, first, second = logits(8, 5), torch.arange(8) % 5, torch.arange(8) % 3
    weights = torch.tensor([[0.3, 0.7]], dtype=torch.float64).expand(8, 2)
    expected = 0.3 * F.cross_entropy(outputs, first) + 0.7 * F.cross_entropy(outputs, second)
    torch.testing.assert_close(cross_entropy()(outputs, MixedTargets(torch.stack([first, second], 1), weights)), expected)


@pytest.mark.parametrize("alpha", [0.0, 0.1, 2.0])
def test_dual_cutout_is_its_formula(alpha):
    outputs, labels = logits(8, 2, 5), torch.arange(8) % 5
    first, second = outputs[:, 0], outputs[:, 1]
    expected = 0.5 * (F.cross_entropy(first, labels) + F.cross_entropy(second, labels))
    expected = expected + alpha * ((first - second) ** 2).sum() / (8 * 5)
    torch.testing.assert_close(dual_cutout(alpha=alpha)(outputs, labels), expected)
    torch.testing.assert_close(dual_cutout(alpha=alpha)(first, labels), F.cross_entropy(first, labels))


def test_views_count_equally():
    outputs, labels = logits(8, 3, 5), torch.arange(8) % 5
    expected = sum(F.cross_entropy(outputs[:, view], labels) for view in range(3)) / 3
    torch.testing.assert_close(cross_entropy()(outputs, labels), expected)


@pytest.mark.parametrize("name", LOSSES)
def test_losses_are_computed_in_single_precision_or_better(name):
    labels = torch.arange(8) % 5
    for given, computed in ((torch.bfloat16, torch.float32), (torch.float16, torch.float32), (torch.float64, torch.float64)):
        for targets in (labels, mixed(8, 5)):
            half = logits(8, 2, 5).to(given).requires_grad_()
            value = bind(LOSSES, {"name": name}, "loss")()(half, targets)
            assert value.dtype in (computed, torch.float64)
            torch.testing.assert_close(value.double(), LOSSES[name]()(half.double(), targets), rtol=1e-6, atol=1e-6)
            value.backward()
            assert half.grad.dtype == given


@pytest.mark.parametrize("spec", [{"label_smoothing": 1.0}, {"label_smoothing": -0.1}])
def test_impossible_smoothing_is_refused(spec):
    for name in LOSSES:
        with pytest.raises(UserError, match=r"loss\.label_smoothing: .* is not allowed"):
            bind(LOSSES, {"name": name} | spec, "loss")


def test_how_wrong_mixed_answers_are():
    outputs = torch.eye(4, dtype=torch.float64)[[0, 1, 2, 3]]
    outputs[3, 0] = float("nan")
    targets = MixedTargets(torch.tensor([[0, 1], [0, 1], [0, 1], [3, 3]]), torch.tensor([[0.7, 0.3]] * 4))
    torch.testing.assert_close(wrong(outputs, targets), torch.tensor([0.3, 0.7, 1.0, 1.0]))


def test_of_several_views_the_mean_is_judged():
    outputs = torch.tensor([[[3.0, 0.0], [0.0, 1.0]], [[0.0, 3.0], [1.0, 0.0]]])
    assert wrong(outputs, torch.tensor([0, 0])).tolist() == [False, True]


def test_targets_split_into_the_chunks_of_a_batch():
    targets = mixed(7, 5)
    chunks = split_targets(targets, 3)
    assert [len(chunk.labels) for chunk in chunks] == [3, 3, 1]
    assert torch.equal(torch.cat([chunk.labels for chunk in chunks]), targets.labels)
    assert torch.equal(torch.cat([chunk.weights for chunk in chunks]), targets.weights)
    assert [chunk.tolist() for chunk in split_targets(torch.arange(5), 2)] == [[0, 1], [2, 3], [4]]
