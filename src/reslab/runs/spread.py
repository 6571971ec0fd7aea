"""One network over several processes of this machine, or of several where torchrun has started them.

Process 0 is the one that is asked to train: it starts the others, and none outlives it. Where one ends early, all do, within
seconds and with a line that names it.
"""

import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from multiprocessing.connection import wait
from typing import Any

import torch
from torch import distributed

from reslab import stop, storage
from reslab.environment import DECODERS, PROCESSES, TORCHRUN, count_from_environment, cpu_count
from reslab.errors import UserError, first_line, in_plugins, one_line, shown
from reslab.runs import meeting
from reslab.runs.processes import LostProcess
from reslab.runs.ranks import Ranks
from reslab.stop import children

HOST = "127.0.0.1"
SECONDS_TO_NOTICE = 4.0  # that another process has ended, by an error of what it did not send; later the process is ended
PATIENCE = timedelta(hours=2)  # with a process that lives and sends nothing: a compiler may take long
TO_JOIN = timedelta(minutes=10)  # for all of torchrun's processes to begin
INTERRUPT = signal.SIGURG  # of the main thread by the one that watches; nobody else sends it
LONGEST = 500  # characters of another process's error
BACKEND = {"cpu": "gloo", "cuda": "cpu:gloo,cuda:nccl"}


def one_a_gpu() -> int:
    """The number of processes where each has a GPU of this machine."""
    return max(1, torch.cuda.device_count())


@contextlib.contextmanager
def joined_by_torchrun() -> Iterator[Ranks]:
    """Join the processes that torchrun has started, on this and on other machines."""
    ranks = Ranks(count_from_environment("RANK", 0, least=0), count_from_environment("WORLD_SIZE", 1))
    if ranks.rank >= ranks.count:  # it would wait for a first process that does not know of it
        raise UserError(f"RANK={ranks.rank} is not allowed: a whole number from 0 to {ranks.count - 1}, one less than WORLD_SIZE")
    local = count_from_environment("LOCAL_RANK", 0, least=0)
    device = take_device(local, count_from_environment("LOCAL_WORLD_SIZE", ranks.count))
    with contextlib.nullcontext() if ranks.first else stop.speechless():
        try:
            socket.getaddrinfo(os.environ["MASTER_ADDR"], None)  # an unknown name would be asked for again and again
            store, rank, count = next(distributed.rendezvous("env://", timeout=TO_JOIN))
            store = meeting.own_part(store, Ranks(rank, count), TO_JOIN)
            distributed.init_process_group(BACKEND[device], store=store, rank=rank, world_size=count, timeout=PATIENCE)
        except (ValueError, OSError, distributed.DistError) as error:
            raise UserError(f"{', '.join(TORCHRUN)}: torchrun's processes cannot be joined ({first_line(error)})") from error
        with told_apart(ranks, lambda: None):
            yield ranks
        distributed.destroy_process_group()


def take_device(local: int, count: int) -> str:
    """Choose the GPU of a process by its number among the `count` on this machine; returns the kind of device.

    Raises UserError if there are too few GPUs.
    """
    wish = os.environ.get("RESLAB_DEVICE") or ("cuda" if torch.cuda.is_available() else "cpu")
    if not wish.startswith("cuda"):
        return "cpu"
    if local >= torch.cuda.device_count():
        raise UserError(f"{PROCESSES}: process {local} has no GPU, there are {torch.cuda.device_count()}; allowed: one a GPU")
    os.environ["RESLAB_DEVICE"] = f"cuda:{local}"
    os.environ.setdefault(DECODERS, str(max(1, (cpu_count() - 1) // count)))
    return "cuda"


def train_over(train: Callable[..., None], job: Any, count: int) -> None:
    """Call `train(job, ranks=...)` in `count` processes, of which this is the first; returns when it is done here."""
    if count == 1:
        train(job)
        return
    store = distributed.TCPStore(HOST, 0, count, is_master=True, wait_for_workers=False)
    context = children.spawning()
    arguments = [(train, job, Ranks(rank, count), store.port) for rank in range(1, count)]
    others = [context.Process(target=_other, args=each) for each in arguments]  # no daemons: they may start decoders
    try:
        for other in others:
            other.start()
        with (
            watched(others, lambda: said_by(_client(store.port, count), others)),
            told_apart(Ranks(0, count), lambda: said_by(store, others)),
        ):
            _join(Ranks(0, count), store)
            train(job, ranks=Ranks(0, count))
    finally:
        for other in others:
            other.kill()  # what counts is process 0's; the others have nothing to tidy up
        for other in others:
            other.join()
        if distributed.is_initialized():
            distributed.destroy_process_group()


def _client(port: int, count: int) -> distributed.Store:
    return distributed.TCPStore(HOST, port, count, is_master=False)


def _join(ranks: Ranks, store: distributed.Store) -> None:
    device = take_device(ranks.rank, ranks.count)
    distributed.init_process_group(BACKEND[device], store=store, rank=ranks.rank, world_size=ranks.count, timeout=PATIENCE)


def _other(train: Callable[..., None], job: Any, ranks: Ranks, port: int) -> None:
    """What a process other than the first does; its error is left for the first one to show."""
    stop.in_worker()
    store = _client(port, ranks.count)
    try:
        _join(ranks, store)
        train(job, ranks=ranks)
    except Exception as error:
        if not (isinstance(error, RuntimeError) and lost_connection(error)):
            with contextlib.suppress(RuntimeError):  # the first is gone
                store.set(_key(ranks.rank), _told(error))
        if in_plain_words(error) is None and not isinstance(error, RuntimeError):
            raise  # a fault of ours is shown whole
        raise SystemExit(1) from None


def _told(error: Exception) -> str:
    """An error on one line: what can be mended as it is, any other with its type."""
    return (in_plain_words(error) or f"{type(error).__name__}: {error}")[:LONGEST]


def in_plain_words(error: Exception) -> str | None:
    """The line of an error that a user can mend: of what was given, of a file or disk, of one's own code; None for any other."""
    if isinstance(error, UserError | OSError):
        return one_line(error)
    return storage.explained(error) or in_plugins(error)


def _key(rank: int) -> str:
    return f"reslab/error/{rank}"


def said_by(store: distributed.Store, others: list) -> UserError:
    """What the first of the other processes that failed has said, or which ones are gone."""
    for rank in range(1, len(others) + 1):
        if store.check([_key(rank)]):
            return UserError(f"process {rank}: {store.get(_key(rank)).decode()}")
    wait([other.sentinel for other in others], 2 * SECONDS_TO_NOTICE)  # a large process ends slowly on a busy machine
    for other in others:
        other.join(stop.SECONDS_BETWEEN_LOOKS)  # what has closed its pipe may not have ended yet
    return gone([rank for rank, other in enumerate(others, start=1) if not other.is_alive()], len(others) + 1)


def gone(ranks: list[int], count: int) -> LostProcess:
    """The error about processes that have ended without a word."""
    who = f"process {', '.join(map(str, ranks))} of {count}" if ranks else f"another of the {count} processes"
    return LostProcess(f"{who} that train one network was killed (out of memory?); run the same command again to resume")


@contextlib.contextmanager
def watched(others: list, said: Callable[[], UserError]) -> Iterator[None]:
    """Raise what another process has `said` if it failed and this one has not noticed: it would wait for what never comes.

    Where the main thread hears no signal, as while it waits for a GPU, the process is ended.
    """
    done, failed = threading.Event(), []

    def interrupt(*_: Any) -> None:
        if failed and not done.is_set():
            raise failed[0]

    def watch() -> None:
        if not _one_failed(others, done) or done.wait(SECONDS_TO_NOTICE) or stop.requested():
            return
        failed.append(said())
        signal.pthread_kill(threading.main_thread().ident, INTERRUPT)
        if not done.wait(SECONDS_TO_NOTICE):
            print(f"error: {one_line(failed[0])}", file=sys.stderr, flush=True)
            os._exit(1)

    signal.signal(INTERRUPT, interrupt)  # and left so: the signal may come late, and would end the process
    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        done.set()


def _one_failed(others: list, done: threading.Event) -> bool:
    """Wait until a process has failed; False once all have ended well, or if it is no longer of interest."""
    sentinels = {other.sentinel: other for other in others}
    while sentinels and not done.is_set():
        for sentinel in wait(list(sentinels), stop.SECONDS_BETWEEN_LOOKS):
            sentinels[sentinel].join(stop.SECONDS_BETWEEN_LOOKS)  # what has closed its pipe may not have ended yet
            if sentinels.pop(sentinel).exitcode:
                return True
    return False


@contextlib.contextmanager
def told_apart(ranks: Ranks, said: Callable[[], UserError | None]) -> Iterator[None]:
    """Turn the loss of another process into UserError, or into Stopped where all have been told to stop."""
    try:
        yield
    except RuntimeError as error:
        if not lost_connection(error):
            raise
        stop.check()
        raise said() or gone([], ranks.count) from error


def lost_connection(error: RuntimeError) -> bool:
    """Whether an error says that another process is gone."""
    text = str(error)
    return isinstance(error, distributed.DistError) or any(
        word in text for word in ("onnection closed by peer", "onnection reset by peer", "gloo", "Broken pipe", "NCCL")
    )


def check_agreement(facts: Mapping[str, Any], ranks: Ranks) -> None:
    """Raise UserError, in all processes, if they do not see the same code, data and parameters; it names what and who."""
    if ranks.alone:
        return
    found: list[Any] = [None] * ranks.count
    distributed.all_gather_object(found, dict(facts))
    for what in facts:
        values = [each.get(what) for each in found]
        if any(value != values[0] for value in values):
            raise UserError(f"{what}: not the same in all processes ({_who(values)}); give all the same and run again")


def _who(values: list) -> str:
    """Which processes have which value."""
    having: dict[str, list[int]] = {}
    for rank, value in enumerate(values):
        having.setdefault(str(value), []).append(rank)
    told = [f"process {', '.join(map(str, ranks))} has {shown(value[:16])}" for value, ranks in having.items()]
    return "; ".join(told[:4]) + (f"; {len(told) - 4} more" if len(told) > 4 else "")
