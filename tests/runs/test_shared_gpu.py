"""Networks that take turns in one process: the same bits as alone, however many; room is made for one that does not fit."""

from dataclasses import dataclass

import pytest
import torch
from small_runs import run

from reslab.errors import UserError
from reslab.runs.shared_gpu import run_together
from reslab.training.loop import fit, in_turns

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Job:
    seed: int


def test_turns_give_the_same_bits_as_training_alone():
    epochs = {0: 2, 1: 3, 2: 1}
    alone, together, order = {}, {}, []
    for seed, count in epochs.items():
        made = run(seed=seed, train={"epochs": count})
        records = list(fit(made.step(), made.schedule, total_steps=made.budget.steps))
        alone[seed] = ([record.loss for record in records], made.model.state_dict())

    def start(job):
        made = run(seed=job.seed, train={"epochs": epochs[job.seed]})
        losses = []
        for record in in_turns(made.step(), made.schedule, total_steps=made.budget.steps):
            order.append(job.seed)
            losses += [record.loss] if record else []
            yield
        together[job.seed] = (losses, made.model.state_dict())

    done = [job.seed for job in run_together(start, [Job(seed) for seed in epochs], device=CPU)]
    assert done == [2, 0, 1]  # the shorter earlier: they really took turns
    assert set(order[:6]) == {0, 1, 2}
    for seed in epochs:
        assert alone[seed][0] == together[seed][0]
        assert all(torch.equal(value, together[seed][1][name]) for name, value in alone[seed][1].items())
    assert not torch.equal(alone[0][1]["fc.weight"], alone[1][1]["fc.weight"])


def counting(job, began: list[int], *, room: int):
    """A network of three steps that does not fit beside `room` others."""
    began.append(job.seed)
    running.add(job.seed)
    try:
        for _ in range(3):
            if len(running) > room:
                raise torch.OutOfMemoryError("CUDA out of memory")
            yield
    finally:
        running.discard(job.seed)


running: set[int] = set()


@pytest.mark.parametrize(("room", "most"), [(1, 4), (2, 4), (3, 4), (4, 4), (4, 2)])
def test_who_does_not_fit_starts_again_when_there_is_room(room, most):
    began: list[int] = []
    jobs = [Job(seed) for seed in range(4)]
    done = [job.seed for job in run_together(lambda job: counting(job, began, room=room), jobs, device=CPU, most=most)]
    assert sorted(done) == [0, 1, 2, 3]
    assert not running
    assert (len(began) > 4) == (room < 4)


def test_one_that_does_not_fit_alone_is_said():
    with pytest.raises(UserError, match=r"out of GPU memory; train\.recompute"):
        list(run_together(lambda job: counting(job, [], room=0), [Job(0)], device=CPU))


def test_a_failure_comes_through_when_the_others_have_ended():
    def start(job):
        try:
            for _ in range(3):
                yield
                if job.seed == 1:
                    raise UserError("seed 1 is refused")
            finished.append(job.seed)
        finally:
            closed.append(job.seed)

    finished: list[int] = []
    closed: list[int] = []
    done = []
    with pytest.raises(UserError, match="seed 1 is refused"):
        done.extend(job.seed for job in run_together(start, [Job(0), Job(1), Job(2)], device=CPU))
    assert finished == [0, 2]
    assert set(closed) == {0, 1, 2}


def test_who_stops_listening_ends_them_all():
    closed: list[int] = []

    def start(job):
        try:
            for _ in range(1 + 9 * job.seed):
                yield
        finally:
            closed.append(job.seed)

    turns = run_together(start, [Job(0), Job(1)], device=CPU)
    assert next(turns).seed == 0
    turns.close()
    assert set(closed) == {0, 1}
