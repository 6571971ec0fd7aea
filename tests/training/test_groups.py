"""Which tensors land in which parameter group, against the counts of the published systems."""

import pytest
from torch import nn

from reslab.models import MODELS
from reslab.training.optim.groups import parameter_groups


def sizes(model: nn.Module, **options) -> dict[str, tuple[int, int, float, float]]:
    """Group -> tensors, parameters, rate, decay."""
    return {
        group["name"]: (len(group["params"]), sum(p.numel() for p in group["params"]), group["lr"], group["weight_decay"])
        for group in parameter_groups(model, lr=0.1, weight_decay=1e-4, **options)
    }


@pytest.fixture(scope="module")
def preact() -> nn.Module:
    return MODELS["preact_resnet"](3, 10, depth=20)


def test_all_in_one_group_without_rules(preact):
    assert sizes(preact) == {"all": (61, 272_282, 0.1, 1e-4)}


def test_no_decay_on_batch_norm_is_the_published_rule(preact):
    """Measured on pytorch_image_classification: 38 tensors with 1,376 parameters on ResNet-preact-20; the FC keeps its decay."""
    found = sizes(preact, no_decay=["batch_norm"])
    assert found == {"all": (23, 272_282 - 1_376, 0.1, 1e-4), "no_decay": (38, 1_376, 0.1, 0.0)}


def test_decay_outside_branches_only_is_the_published_mistake(preact):
    """Its last version decays the stem and two shortcuts: 2,992 of 272,282 parameters."""
    found = sizes(preact, no_decay=["batch_norm", "bias", "linear", "branch"])
    assert found == {"all": (3, 2_992, 0.1, 1e-4), "no_decay": (58, 272_282 - 2_992, 0.1, 0.0)}


def test_no_decay_on_biases_takes_beta_and_the_classifiers(preact):
    assert sizes(preact, no_decay=["bias"])["no_decay"] == (20, 1_376 // 2 + 10, 0.1, 0.0)


def test_scalars_have_a_rate_and_may_have_no_decay():
    model = MODELS["tau_resnet"](1, 10, depth=8, norm="none", tau=0.5)
    assert sizes(model, scalar_lr=0.1)["scalars"] == (13, 13, pytest.approx(0.01), 1e-4)
    found = sizes(model, scalar_lr=0.1, no_decay=["scalars", "linear"])
    assert found["scalars_no_decay"] == (13, 13, pytest.approx(0.01), 0.0)
    assert found["no_decay"] == (1, 640, 0.1, 0.0)
    assert "scalars" not in found


@pytest.mark.parametrize("name", ["resnet", "wrn", "densenet"])
def test_every_parameter_is_in_exactly_one_group(name):
    options = {"resnet": {"depth": 8}, "wrn": {"depth": 10, "widening_factor": 1}, "densenet": {"depth": 10, "growth_rate": 4}}
    model = MODELS[name](3, 10, **options[name])
    groups = parameter_groups(model, lr=0.1, no_decay=["batch_norm", "branch"])
    members = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(members) == sorted(map(id, model.parameters()))
    assert len({id(parameter) for parameter in groups[0]["params"]}) > 0


def test_order_within_a_group_is_the_models():
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2), nn.Linear(2, 2))
    (group,) = parameter_groups(model, lr=0.1)
    assert all(ours is theirs for ours, theirs in zip(group["params"], model.parameters(), strict=True))
