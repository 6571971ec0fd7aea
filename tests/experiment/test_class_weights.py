"""Cross entropy with a weight for each class: torch's where it has one, and by hand where labels are mixed."""

import numpy as np
import pytest
import torch
from facts import facts, random_images
from project import SMALL_PARAMS
from torch.nn import functional as F

from reslab import config
from reslab.errors import UserError
from reslab.experiment.assemble import assemble, class_counts
from reslab.experiment.bound import bound
from reslab.experiment.check import checked
from reslab.experiment.losses import bound_loss, cross_entropy, resolved
from reslab.targets import MixedTargets
from reslab.training import losses

COUNTS = torch.tensor([50, 30, 20])
LOGITS = torch.randn(6, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
LABELS = torch.tensor([0, 1, 2, 2, 1, 0])


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_weighted_cross_entropy_is_torchs(smoothing):
    weights = [1.0, 2.0, 0.5]
    ours = cross_entropy(COUNTS, label_smoothing=smoothing, class_weights=weights)(LOGITS, LABELS)
    theirs = F.cross_entropy(LOGITS, LABELS, weight=torch.tensor(weights, dtype=torch.float64), label_smoothing=smoothing)
    assert torch.equal(ours, theirs)
    mixed = MixedTargets(LABELS[:, None], torch.ones(6, 1))
    torch.testing.assert_close(cross_entropy(COUNTS, label_smoothing=smoothing, class_weights=weights)(LOGITS, mixed), ours)
    views = LOGITS[:, None].repeat(1, 2, 1)
    torch.testing.assert_close(cross_entropy(COUNTS, label_smoothing=smoothing, class_weights=weights)(views, LABELS), ours)


def test_mixed_labels_are_weighted_by_hand():
    mixed = MixedTargets(torch.tensor([[0, 2]]), torch.tensor([[0.75, 0.25]]))
    found = cross_entropy(COUNTS, class_weights=[1.0, 1.0, 3.0])(LOGITS[:1], mixed)
    logs = LOGITS[0].log_softmax(0)
    torch.testing.assert_close(found, -(0.75 * logs[0] + 0.25 * 3 * logs[2]) / (0.75 + 0.75))


def test_balanced_weights_are_scikit_learns_and_none_is_the_plain_loss():
    from sklearn.utils.class_weight import compute_class_weight

    labels = torch.repeat_interleave(torch.arange(3), COUNTS).numpy()
    assert resolved("balanced", COUNTS).tolist() == pytest.approx(compute_class_weight("balanced", classes=np.arange(3), y=labels))
    assert torch.equal(cross_entropy(COUNTS)(LOGITS, LABELS), losses.cross_entropy()(LOGITS, LABELS))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([1.0, 2.0], "loss: class_weights: 2 numbers for 3 classes"),
        ([1.0, -2.0, 1.0], r"loss.class_weights\[1\]: -2.0 is not allowed"),
        ([1.0, float("inf"), 1.0], r"loss.class_weights"),
        ("equal", "loss.class_weights: 'equal' is not allowed"),
        ([], "loss.class_weights"),
    ],
)
def test_wrong_weights_are_refused(given, said):
    with pytest.raises(UserError, match=said):
        bound_loss({"name": "cross_entropy", "class_weights": given})(COUNTS)


def test_a_class_without_images_cannot_be_balanced():
    with pytest.raises(UserError, match="needs a training image of every class"):
        cross_entropy(torch.tensor([3, 0]), class_weights="balanced")


def test_a_run_weighs_by_its_training_images():
    found = config.parse_yaml(SMALL_PARAMS)
    sections = {key: found[key] for key in config.SECTIONS} | {"loss": {"name": "cross_entropy", "class_weights": "balanced"}}
    data = random_images("digits", count=60)
    run = assemble(bound(config.from_sections("it", sections)), data, seed=0, device=torch.device("cpu"))
    logits, labels = torch.randn(8, 10), torch.arange(8)
    weights = resolved("balanced", class_counts(data))
    assert torch.equal(run.loss(logits, labels), F.cross_entropy(logits, labels, weight=weights))
    assert torch.equal(next(iter(run.scoring_steps().values())).loss(logits, labels), F.cross_entropy(logits, labels))


def test_parts_of_a_batch_are_not_weighed_as_the_whole():
    """The weighted mean of a part has another divisor than that of the batch."""
    found = config.parse_yaml(SMALL_PARAMS)
    train = found["train"] | {"ghost_batch_size": 8}
    sections = {key: found[key] for key in config.SECTIONS} | {"train": train}
    checked(config.from_sections("it", sections), facts("digits"))
    weighed = sections | {"loss": {"name": "cross_entropy", "class_weights": "balanced"}}
    with pytest.raises(UserError, match="class_weights weighs the mean over a whole batch, and ghost_batch_size cuts it"):
        checked(config.from_sections("it", weighed), facts("digits"))
