"""The trial of a level: it leaves no trace, and finds what the level does otherwise than the plain step, but for rounding."""

import copy
from dataclasses import replace
from functools import partial

import pytest
import torch
from small_runs import run
from whole_runs import fit

from reslab.errors import UserError
from reslab.training.execution.trial import Snapshot, changes, changes_in_float32, check_agreement, tensors
from reslab.training.loop import set_rate
from reslab.training.optim.optimizers import OPTIMIZERS
from reslab.training.precision import PRECISIONS

OPTIONS = [
    {},
    {"train": {"ema": 0.9}},
    {"train": {"precision": "float16"}},
    {"model": {"name": "shake_shake", "depth": 8, "width": 4}},
]
OPTIONS += [{"optimizer": {"name": name, "lr": 0.01} | ({"rule": "hysts"} if name == "lars" else {})} for name in OPTIMIZERS]


@pytest.mark.parametrize("sections", OPTIONS, ids=str)
def test_what_was_tried_out_leaves_no_trace(sections):
    plain, tried = run(**sections), run(**sections)
    steps = plain.step(), tried.step()
    kept = Snapshot(steps[1])
    steps[1].rule.batch_norm.train(tried.model)
    for _ in range(3):
        steps[1].batches.begin(1)
        steps[1](16)
    changed = {name: value.clone() for name, value in tried.model.state_dict().items()}
    kept.put_back()
    assert any(not torch.equal(changed[name], value) for name, value in tried.model.state_dict().items())
    records = [fit(step, made.schedule, made.budget) for step, made in zip(steps, (plain, tried), strict=True)]
    assert [record.loss for record in records[0]] == [record.loss for record in records[1]]
    assert all(torch.equal(a, b) for (_, a), (_, b) in zip(tensors(steps[0]), tensors(steps[1]), strict=True))


@pytest.fixture
def step():
    made = run(train={"ema": 0.9}).step()
    made.rule.batch_norm.train(made.model)
    made.batches.load(made.batches.begin(1)[0])
    return made


def test_the_same_step_agrees_and_leaves_no_trace(step):
    before = copy.deepcopy(step.model.state_dict())
    check_agreement(changes(step, step), changes(step, step))
    assert all(torch.equal(value, step.model.state_dict()[name]) for name, value in before.items())


def without_update(step, size):
    kept = [parameter.detach().clone() for parameter in step.model.parameters()]
    step(size)
    with torch.no_grad():
        for parameter, value in zip(step.model.parameters(), kept, strict=True):
            parameter.copy_(value)


def with_one_rate(step, size):
    set_rate(step.optimizer, 1.0)
    step(size)


def without_the_tail(step, size):
    if size == 16:
        step(size)


def without_average(step, size):
    kept = [tensor.clone() for tensor in step.rule.average.parameters()]
    step(size)
    with torch.no_grad():
        for tensor, value in zip(step.rule.average.parameters(), kept, strict=True):
            tensor.copy_(value)


@pytest.mark.parametrize("wrong", [without_update, with_one_rate, without_the_tail, without_average, lambda step, size: None])
def test_a_recording_that_does_something_else_is_found(step, wrong):
    with pytest.raises(UserError, match="it does not do what the plain step does: changes of"):
        check_agreement(changes(step, step), changes(step, partial(wrong, step)))


def in_float16(step, size):
    """Another format of as few bits: a way to launch the step that differs by rounding alone."""
    other = copy.copy(step)
    other.rule = replace(step.rule, precision=PRECISIONS["float16"])
    other(size)


def of_other_labels(step, size):
    """A wrong graph: it learns something else."""
    other = copy.copy(step)
    other.loss = lambda logits, targets: step.loss(logits, (targets + 1) % 4)
    other(size)


@pytest.fixture(scope="module")
def deep():
    """A network so deep that bfloat16 turns its changes by more than the bound for float32."""
    torch.manual_seed(0)
    made = run(model={"depth": 20}, train={"precision": "bfloat16"}).step()
    made.rule.batch_norm.train(made.model)
    made.batches.load(made.batches.begin(1)[0])
    return made, changes(made, made), changes_in_float32(made)


def test_a_deep_network_may_differ_by_as_much_as_it_rounds(deep):
    step, plain, exact = deep
    other = changes(step, partial(in_float16, step))
    check_agreement(plain, other, exact)
    with pytest.raises(UserError, match="changes of"):
        check_agreement(plain, other)


@pytest.mark.parametrize("wrong", [with_one_rate, of_other_labels, without_update])
def test_more_than_rounding_is_found_in_a_deep_network(deep, wrong):
    step, plain, exact = deep
    with pytest.raises(UserError, match="it does not do what the plain step does: changes of"):
        check_agreement(plain, changes(step, partial(wrong, step)), exact)
