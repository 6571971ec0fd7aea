"""Networks that take turns in one process: the same bits as alone, however many; room is made for one that does not fit."""

import threading
from dataclasses import dataclass

import pytest
import torch
from small_runs import run
from whole_runs import fit

from reslab.errors import UserError
from reslab.runs.shared_gpu import run_together

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Job:
    seed: int


def test_turns_give_the_same_bits_as_training_alone():
    epochs = {0: 2, 1: 3, 2: 1}
    alone, together, order = {}, {}, []
    for seed, count in epochs.items():
        made = run(seed=seed, train={"epochs": count})
        records = fit(made.step(), made.schedule, made.budget)
        alone[seed] = ([record.loss for record in records], made.model.state_dict())

    def train(job, take_turn):
        def next_turn():
            order.append(job.seed)
            take_turn()

        made = run(seed=job.seed, train={"epochs": epochs[job.seed]})
        records = fit(made.step(), made.schedule, made.budget, take_turn=next_turn)
        together[job.seed] = ([record.loss for record in records], made.model.state_dict())

    done = [job.seed for job in run_together(train, [Job(seed) for seed in epochs], device=CPU)]
    assert done == [2, 0, 1]  # the shorter earlier: they really took turns
    assert order == [0, 1, 2] * 3 + [0, 1] * 3 + [1] * 3  # it does not depend on the clock
    for seed in epochs:
        assert alone[seed][0] == together[seed][0]
        assert all(torch.equal(value, together[seed][1][name]) for name, value in alone[seed][1].items())
    assert not torch.equal(alone[0][1]["fc.weight"], alone[1][1]["fc.weight"])


def counting(job, take_turn, began: list[int], *, room: int) -> None:
    """A network of three steps that does not fit beside `room` others."""
    began.append(job.seed)
    running.add(job.seed)
    try:
        for _ in range(3):
            if len(running) > room:
                raise torch.OutOfMemoryError("CUDA out of memory")
            take_turn()
    finally:
        running.discard(job.seed)


running: set[int] = set()


@pytest.mark.slow
@pytest.mark.parametrize(("room", "most"), [(1, 4), (2, 4), (3, 4), (4, 4), (4, 2)])
def test_who_does_not_fit_starts_again_when_there_is_room(room, most):
    began: list[int] = []
    jobs = [Job(seed) for seed in range(4)]
    together = run_together(lambda job, turn: counting(job, turn, began, room=room), jobs, device=CPU, most=most)
    assert sorted(job.seed for job in together) == [0, 1, 2, 3]
    assert not running
    assert (len(began) > 4) == (room < 4)


def test_one_that_does_not_fit_alone_is_said_and_the_others_go_on():
    began: list[int] = []
    done, refused = [], []

    def train(job, take_turn):
        counting(job, take_turn, began, room=job.seed)  # seed 0 has never room

    together = run_together(
        train, [Job(0), Job(1)], device=CPU, most=1, too_large=lambda job, error: refused.append((job.seed, error))
    )
    with pytest.raises(UserError, match=r"out of GPU memory; train\.recompute") as raised:
        for job in together:
            done.append(job.seed)
    assert refused == [(0, raised.value)] and done == [1]


def test_a_failure_comes_through_when_the_others_have_ended():
    def train(job, take_turn):
        try:
            for _ in range(3):
                take_turn()
                if job.seed == 1:
                    raise UserError("seed 1 is refused")
            finished.append(job.seed)
        finally:
            closed.append(job.seed)

    finished: list[int] = []
    closed: list[int] = []
    with pytest.raises(UserError, match="seed 1 is refused"):
        list(run_together(train, [Job(0), Job(1), Job(2)], device=CPU))
    assert finished == [0, 2]
    assert set(closed) == {0, 1, 2}


def long_and_short(closed: list[int]):
    """Seed 0 has one step, seed 1 ten."""

    def train(job, take_turn):
        try:
            for _ in range(1 + 9 * job.seed):
                take_turn()
        finally:
            closed.append(job.seed)

    return train


def test_who_stops_listening_ends_them_all():
    closed: list[int] = []
    together = run_together(long_and_short(closed), [Job(0), Job(1)], device=CPU)
    assert next(together).seed == 0
    together.close()
    assert set(closed) == {0, 1}
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("seed")]


def test_an_interrupt_within_a_network_ends_the_others_at_their_next_turn():
    closed: list[int] = []

    def train(job, take_turn):
        if job.seed == 0:
            take_turn()
            raise KeyboardInterrupt
        long_and_short(closed)(job, take_turn)

    with pytest.raises(KeyboardInterrupt):
        list(run_together(train, [Job(0), Job(1)], device=CPU))
    assert closed == [1]
