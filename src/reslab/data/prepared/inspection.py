"""Decoding every image of an archive once, in parallel, to find damaged ones and measure the others."""

import hashlib
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from reslab import stop
from reslab.data.form import Form, Unreadable, unreadable
from reslab.data.prepared.statistics import histograms
from reslab.data.prepared.unfinished import Unfinished
from reslab.errors import UserError
from reslab.runs.meter import meter
from reslab.stop import children

CHUNK = 64  # images of one task; their pixels are all that a process holds
WORTH_A_PROCESS = 16  # tasks: with fewer, starting the process takes longer than the work
MINUTES, SECONDS_OF_A_MINUTE = 5, 60.0  # a wait that ends in several looks outlives a suspended machine
SHOWN = 5  # names in an error message


@dataclass(frozen=True)
class Task:
    """Some rows of an index; the images that are `counted` go into the statistics."""

    archive: Path
    form: Form
    rows: np.ndarray
    counted: np.ndarray


@dataclass
class Inspection:
    """The index with heights and widths filled in, and the statistics of the images that are counted."""

    table: np.ndarray
    digests: np.ndarray  # uint8 (N, 32): sha256 of each encoded image
    histograms: np.ndarray  # int64 (C, 256)
    pixel_sums: np.ndarray  # int64 (C, S, S)
    broken: list[tuple[str, str]]  # name, reason

    def refuse_broken(self) -> None:
        """Raise UserError naming the images that could not be read, if there are any."""
        if len(self.broken) == 1:
            raise unreadable(*self.broken[0])
        if self.broken:
            some = ", ".join(f"{name!r} ({reason})" for name, reason in self.broken[:SHOWN])
            rest = f" and {len(self.broken) - SHOWN} more" if len(self.broken) > SHOWN else ""
            raise UserError(f"cannot read {len(self.broken)} images: {some}{rest}; remove or mend them")


def inspect(archive: Path, table: np.ndarray, form: Form, *, counted: np.ndarray, workers: int) -> Inspection:
    """Decode the images of an index in up to `workers` processes; memory does not grow with their number (but for the index).

    After an interruption it goes on where it was, but for the last minute.
    """
    unfinished = Unfinished(archive, table, form, counted)
    total, first = _continued(unfinished, _nothing(table.copy(), form))
    parts = [slice(start, start + CHUNK) for start in range(first, len(table), CHUNK)]
    tasks = (Task(archive, form, table[part], counted[part]) for part in parts)
    processes = min(workers, len(parts) // WORTH_A_PROCESS)
    with meter("decoding", len(table), first) as advance:
        for part, found in zip(parts, _run(tasks, processes), strict=True):
            total.table[part], total.digests[part] = found.table, found.digests
            total.histograms += found.histograms
            total.pixel_sums += found.pixel_sums
            total.broken += found.broken
            advance(len(found.table))
            unfinished.save(part.stop, _measured(total, part.stop), total.broken)
    unfinished.done()
    return total


def _measured(total: Inspection, count: int) -> dict[str, np.ndarray]:
    """What is known of the first `count` images."""
    size = {key: total.table[key][:count] for key in ("height", "width")}
    return {"digests": total.digests[:count], "histograms": total.histograms, "pixel_sums": total.pixel_sums, **size}


def _continued(unfinished: Unfinished, nothing: Inspection) -> tuple[Inspection, int]:
    """What an earlier run found, and the number of images it had inspected."""
    count, measured, broken = unfinished.load()
    for key, values in measured.items():
        target = nothing.table[key] if key in ("height", "width") else getattr(nothing, key)
        target[: len(values)] = values
    nothing.broken.extend(broken)
    return nothing, count


def _nothing(table: np.ndarray, form: Form) -> Inspection:
    digests = np.zeros((len(table), 32), dtype=np.uint8)
    sums = np.zeros((form.channels, form.image_size, form.image_size), dtype=np.int64)
    return Inspection(table, digests, np.zeros((form.channels, 256), dtype=np.int64), sums, [])


def _run(tasks: Iterator[Task], workers: int) -> Iterator[Inspection]:
    """The tasks' results in order, with at most two tasks a process under way."""
    if workers <= 1:
        yield from map(_inspect, tasks)
        return
    context = children.spawning()
    with ProcessPoolExecutor(workers, mp_context=context, initializer=stop.in_worker) as pool:
        try:
            pending = deque(pool.submit(_inspect, task) for task in islice(tasks, 2 * workers))
            while pending:
                yield _result(pending.popleft())
                pending.extend(pool.submit(_inspect, task) for task in islice(tasks, 1))
        except BrokenProcessPool as error:
            raise UserError("a decoding process was killed (out of memory?); RESLAB_DECODERS sets their number") from error
        except BaseException:
            for process in list((pool._processes or {}).values()):
                process.kill()  # they only read
            raise


def _result(future: "Future[Inspection]") -> Inspection:
    """What a task found; raises UserError if there is no answer for minutes."""
    for _ in range(MINUTES):
        if wait([future], timeout=SECONDS_OF_A_MINUTE).done:
            return future.result()  # a TimeoutError is the file system's
    raise UserError(f"no image was decoded for {MINUTES} minutes: is the disk or the network of the images slow or gone?")


def _inspect(task: Task) -> Inspection:
    from reslab.data.decode import centre, shape

    found = _nothing(task.rows.copy(), task.form)
    descriptor = os.open(task.archive, os.O_RDONLY)
    try:
        for i, row in enumerate(task.rows):
            content = _read(descriptor, row, task.archive)
            found.digests[i] = np.frombuffer(hashlib.sha256(content).digest(), dtype=np.uint8)
            try:
                found.table["height"][i], found.table["width"][i] = shape(content)
                pixels = centre(content, task.form).transpose(2, 0, 1)
            except Unreadable as error:
                found.broken.append((bytes(row["name"]).decode(), str(error)))
                continue
            if task.counted[i]:
                found.histograms += histograms(pixels[None])
                found.pixel_sums += pixels
    finally:
        os.close(descriptor)
    return found


def _read(descriptor: int, row: np.ndarray, archive: Path) -> bytes:
    """The bytes of an image; raises OSError that names the archive."""
    try:
        return os.pread(descriptor, int(row["length"]), int(row["offset"]))
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(archive)) from error
