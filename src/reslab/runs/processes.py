"""Several networks at once, one process each: the parent hears of their progress, and none outlives it."""

import contextlib
import pickle
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.queues import SimpleQueue
from typing import Any, ClassVar, Protocol

from reslab import stop
from reslab.errors import UserError, first_line, in_plugins
from reslab.runs.reports import Began, EpochEnded, Report
from reslab.stop import children

SECONDS_BETWEEN_REPORTS = 0.5


class Job(Protocol):
    """What a training process is given: anything that can be pickled and has a seed."""

    seed: int


class Listener(Protocol):
    """Who hears the reports of all networks, between two steps of one of them: at once done with it, whatever it does later."""

    def update(self, report: Report | Began) -> None: ...


class Listeners:
    """Several that hear the same reports, each also when another one fails."""

    def __init__(self, *listeners: Listener) -> None:
        self.listeners = listeners

    def update(self, report: Report | Began) -> None:
        """Tell all."""
        for listener in self.listeners:
            _tell(report, listener)


class LostProcess(UserError):
    """A process that trained is gone: what killed it may be after the others."""


class _Channel:
    """Where this process sends its reports: to the parent's queue or to the listener; nowhere unless one of them is set."""

    send: ClassVar[Callable[[Report | Began], None] | None] = None
    also: ClassVar[list[Listener]] = []


def _start_worker(queue: SimpleQueue) -> None:
    stop.in_worker()
    _Channel.send = queue.put


def report_to(listener: Listener) -> None:
    """Hand the reports of this process to a listener, and to nobody else."""
    _Channel.also = []
    _Channel.send = lambda report: _tell(report, listener)


def report_also_to(listener: Listener) -> None:
    """Hand the reports of this process to a listener, unless an equal one hears them, and to whoever hears them already."""
    if listener not in _Channel.also:
        _Channel.also.append(listener)


class Reporter:
    """Reports the progress of one seed, which trains for `steps` steps in `epochs` epochs.

    `images_per_step` is that of a whole batch; `history` has the epochs that a resumed run has done; `network` is its folder.
    """

    def __init__(
        self,
        seed: int,
        steps: int,
        *,
        epochs: int = 1,
        images_per_step: int = 0,
        history: Sequence[Mapping[str, float]] = (),
        network: str = "",
    ) -> None:
        self.seed, self.steps, self.epochs, self.images_per_step = seed, steps, epochs, images_per_step
        self.network = network
        self.epoch, self.row = len(history), dict(history[-1]) if history else {}
        self.images_per_second = 0.0
        self.last, self.first = 0.0, None  # times of heartbeats; the first one also with its step

    def begin(self, experiment: str, record: dict[str, Any], history: Sequence[dict[str, float]]) -> None:
        """Report that training begins, with what its record says so far."""
        self._send(Began(experiment, record, list(history)))

    def report(self, step: int, doing: str, ended: EpochEnded | None = None) -> None:
        """Report the number of steps done, and what is done."""
        arguments = (
            self.seed,
            step,
            self.steps,
            self.epoch,
            self.epochs,
            doing,
            self.row,
            self.images_per_second,
            ended,
            self.network,
        )
        self._send(Report(*arguments))

    def heartbeat(self, step: int) -> None:
        """Call this between steps: it reports every half second."""
        now = time.monotonic()
        if now - self.last < SECONDS_BETWEEN_REPORTS:
            return
        self.last = now
        if self.first is None:
            self.first = (step, now)
        elif not self.row:  # the speed of the first epoch under way; later that of the last epoch
            self.images_per_second = (step - self.first[0]) * self.images_per_step / (now - self.first[1])
        self.report(step, "training")

    def report_epoch(self, row: Mapping[str, float], *, step: int, images: int, seconds: float) -> None:
        """Report the end of an epoch: its row of the history, its images, and its seconds of training."""
        self.epoch, self.row = int(row["epoch"]), dict(row)
        self.images_per_second = images / seconds if seconds else 0.0
        self.report(step, "training", EpochEnded(self.row, self.images_per_second, seconds, time.time()))

    def _send(self, report: Report | Began) -> None:
        for listener in _Channel.also:
            _tell(report, listener)
        if _Channel.send is not None:
            _Channel.send(report)


def run_all(function: Callable[[Job], None], jobs: list[Job], *, workers: int, display: Listener) -> Iterator[Job]:
    """Call `function` with each job in a pool of new processes and yield each job when it is done.

    The first exception is raised when the others have ended, LostProcess if a process was killed, which ends them. If one of the
    processes or this one is told to stop, all are, and Stopped is raised when they have ended. Any exception where the jobs are
    taken ends them too.
    """
    context = children.spawning()
    queue = context.SimpleQueue()
    telling = threading.Thread(target=_tell_all, args=(queue, display), daemon=True)
    telling.start()
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker, initargs=(queue,))
    futures = {pool.submit(_call, function, job): job for job in jobs}
    failure = None
    try:
        with stop.on_request(lambda: _tell_to_stop(pool)):
            for future in as_completed(futures):
                if error := future.exception():
                    failure = failure or error
                    if isinstance(error, stop.Stopped) and not isinstance(failure, LostProcess):
                        stop.follow(error)
                    if isinstance(error, stop.Stopped | LostProcess):
                        _tell_to_stop(pool)
                else:
                    yield futures[future]
    except BaseException:
        _tell_to_stop(pool)
        raise
    finally:
        pool.shutdown(cancel_futures=True)
        queue.put(None)
        telling.join()
    _raise(failure)


def _call(function: Callable[[Job], None], job: Job) -> None:
    """What a process of the pool does: nothing more once it was told to stop. Of an error only its text leaves a process."""
    stop.check()
    try:
        function(job)
    except Exception as error:
        if not isinstance(error, UserError) and (said := in_plugins(error)) is not None:
            raise UserError(said) from error
        if not _can_be_sent(error):
            raise RuntimeError(f"{type(error).__name__}: {first_line(error)}") from error
        raise


def _can_be_sent(error: Exception) -> bool:
    """Whether an error arrives in another process; one that does not would look like the end of the process that sends it."""
    try:
        return isinstance(pickle.loads(pickle.dumps(error)), type(error))
    except Exception:  # noqa: BLE001 - whatever a library's error does when it is made anew
        return False


def _tell_to_stop(pool: ProcessPoolExecutor) -> None:
    """Tell the processes of the pool, which then start no further job.

    No job is cancelled: a process that is still starting ends by the signal at once, and a pool that has lost a process cannot
    do with cancelled jobs (its thread ends by InvalidStateError, and nobody ends the others).
    """
    for process in list((pool._processes or {}).values()):
        process.terminate()


def _raise(failure: BaseException | None) -> None:
    """Raise what a job failed with, in plain words."""
    if failure is not None:
        stop.check()  # a process that was told to stop may have failed in other ways too
    if isinstance(failure, BrokenProcessPool):
        raise LostProcess("a training process was killed (out of memory?); run the same command again to resume")
    if failure is not None:
        raise failure


def _tell_all(queue: SimpleQueue, listener: Listener) -> None:
    while (report := queue.get()) is not None:
        _tell(report, listener)


def _tell(report: Report | Began, listener: Listener) -> None:
    """Hand a report over. If the listener fails (a closed pipe), reading goes on: otherwise every process would wait in `send`."""
    with contextlib.suppress(Exception):
        listener.update(report)
