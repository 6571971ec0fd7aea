"""Several processes of one network: they find one another, agree or say on what they do not, and none is waited for in vain."""

import multiprocessing
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import distributed

from reslab.errors import UserError
from reslab.runs import meeting, processes, spread
from reslab.runs.processes import LostProcess
from reslab.runs.ranks import ALONE, Ranks


@dataclass(frozen=True)
class Job:
    seed: int
    folder: Path = Path()


def talk(job: Job, ranks: Ranks = ALONE) -> None:
    """All that processes tell one another; each writes down what it found."""
    said = [ranks.told(lambda: "from the first" if ranks.first else "never asked"), ranks.any(ranks.rank == 2), ranks.any(False)]
    said += [ranks.add(torch.ones(2)).tolist(), ranks.joined(torch.full((ranks.rank, 1), ranks.rank), [0, 1, 2]).flatten().tolist()]
    spread.check_agreement({"code": "same"}, ranks)
    for ask in (lambda: spread.check_agreement({"code": "a", "data": "abc"[ranks.rank // 2]}, ranks), partial(ranks.told, refused)):
        with pytest.raises(UserError) as caught:
            ask()
        said.append(str(caught.value))
    (job.folder / f"{ranks.rank}").write_text(repr(said))
    ranks.any(False)  # the first does not end, and end the others, before they have written


def refused() -> None:
    raise UserError("the first cannot")


def test_processes_find_one_another_and_name_who_differs(tmp_path):
    spread.train_over(talk, Job(0, tmp_path), 3)
    told = [(tmp_path / str(rank)).read_text() for rank in range(3)]
    assert told[0] == told[1] == told[2]
    differ = "data: not the same in all processes (process 0, 1 has 'a'; process 2 has 'b')"
    assert eval(told[0]) == [
        "from the first",
        True,
        False,
        [3.0, 3.0],
        [1, 2, 2],
        f"{differ}; give all the same and run again",
        "the first cannot",
    ]


def test_processes_that_start_again_do_not_hear_those_from_before():
    """torchrun's store outlives them: it still has the first ones' calls and addresses, and a second part is empty."""
    store = distributed.HashStore()
    for expected in (["address 0", "address 1", "address 2"], ["next 0", "next 1", "next 2"]):
        with ThreadPoolExecutor(3) as pool:
            found = list(pool.map(partial(meet, store, expected), range(3)))
        assert found == [expected] * 3


def meet(store: distributed.Store, addresses: list[str], rank: int) -> list[str]:
    part = meeting.own_part(store, Ranks(rank, 3), timedelta(seconds=60))
    assert not part.check([f"{rank}"])
    part.set(f"{rank}", addresses[rank])
    return [part.get(f"{other}").decode() for other in range(3)]


def test_who_does_not_come_is_named():
    with pytest.raises(distributed.DistError, match="process 1, 2 did not come"):
        meeting.own_part(distributed.HashStore(), Ranks(0, 3), timedelta(seconds=0.01))


def die(job: Job, ranks: Ranks = ALONE) -> None:
    if ranks.rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    ranks.add(torch.ones(2))


def test_a_killed_process_ends_the_others_and_is_named():
    line = r"^process 1 of 2 that train one network was killed \(out of memory\?\); run the same command again to resume$"
    with pytest.raises(LostProcess, match=line):
        spread.train_over(die, Job(0), 2)


def refuse(job: Job, ranks: Ranks = ALONE) -> None:
    if ranks.rank == 1:
        raise UserError("data/prepared: damaged")
    ranks.add(torch.ones(2))


def test_what_another_process_cannot_do_is_said():
    with pytest.raises(UserError, match=r"^process 1: data/prepared: damaged$"):
        spread.train_over(refuse, Job(0), 2)


def fail(job: Job, ranks: Ranks = ALONE) -> None:
    if ranks.rank == 1:
        raise {1: KeyError("x"), 2: FileNotFoundError(2, "No such file or directory", "images.npy")}[job.seed % 4]
    for _ in range(1000 if job.seed >= 4 else 0):  # it has something to do, and does not notice
        time.sleep(0.05)
    ranks.add(torch.ones(2))


@pytest.mark.parametrize(("kind", "line"), [(1, "KeyError: 'x'"), (6, r"\[Errno 2\] No such file or directory: 'images.npy'")])
def test_the_error_of_another_process_is_said_and_not_that_it_was_killed(kind, line, monkeypatch):
    monkeypatch.setattr(spread, "SECONDS_TO_NOTICE", 0.5)
    with pytest.raises(UserError, match=f"^process 1: {line}$"):
        spread.train_over(fail, Job(kind), 2)


def lose(job: Job) -> None:
    if job.seed == 0:
        raise LostProcess("process 1 is gone")
    while True:
        time.sleep(0.1)


def test_a_lost_process_ends_the_other_networks_too():
    with pytest.raises(LostProcess, match="process 1 is gone"):
        list(processes.run_all(lose, [Job(0), Job(1)], workers=2, display=None))


def test_more_processes_than_gpus_are_refused(monkeypatch):
    monkeypatch.setenv("RESLAB_DEVICE", "cuda")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert spread.take_device(0, 2) == "cuda"
    assert os.environ["RESLAB_DEVICE"] == "cuda:0"
    with pytest.raises(UserError, match="process 1 has no GPU, there are 1"):
        spread.take_device(1, 2)


def decode(job: Job, ranks: Ranks = ALONE) -> None:
    """What decoding processes do: each process of the network starts one of its own."""
    context = multiprocessing.get_context("spawn")
    child = context.Process(target=(job.folder / f"{ranks.rank}").touch)
    child.start()
    child.join()
    ranks.any(False)


def test_every_process_may_start_decoders(tmp_path):
    spread.train_over(decode, Job(0, tmp_path), 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1"]


def test_a_number_of_a_process_beyond_all_of_them_is_refused_and_not_waited_for(monkeypatch):
    for name, value in {"RANK": "5", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=r"^RANK=5 is not allowed: a whole number from 0 to 1, "), spread.joined_by_torchrun():
        pass
