"""The work of a decoding process: requests in, bytes of images out. It imports little, so that it starts fast."""

import atexit
import os
import signal
import tempfile
from dataclasses import dataclass, field
from multiprocessing import popen_spawn_posix
from multiprocessing.context import SpawnContext, SpawnProcess
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, get_worker_info

from reslab import stop
from reslab.data.batches.waiting import SHORT, has_room_for_addresses
from reslab.data.form import Form, Unreadable
from reslab.data.whole import CHANGED, is_whole
from reslab.errors import first_line


@dataclass(frozen=True)
class Request:
    """A batch to decode: where its images are in the archive, and which part of each."""

    samples: np.ndarray  # numbers in the split, for messages
    offsets: np.ndarray
    lengths: np.ndarray
    view: str  # centre, corners or window
    digests: np.ndarray | None = None  # uint8 (B, 32): the sha256 that each must have
    boxes: np.ndarray | None = None  # int64 (B, 4): top, left, height, width of each window


@dataclass(frozen=True)
class Broken:
    """An image that could not be decoded: a value, because an exception loses its text between processes."""

    sample: int
    reason: str


@dataclass(frozen=True)
class Failed:
    """A batch that could not be made, whatever its images are like; the text says why."""

    reason: str


@dataclass(frozen=True)
class Decoder(Dataset):
    """Requests -> images uint8 (B, S, S, C), or (B, 5, S, S, C) for corners."""

    archive: Path
    form: Form
    _open: list[int] = field(default_factory=list, compare=False, repr=False)  # the descriptor, once it is needed

    def __getitem__(self, request: Request) -> Tensor | Broken | Failed:
        """Decode a batch; if some image cannot be decoded, return the first such one as `Broken` instead."""
        try:
            return self._decode(request)
        except (OSError, RuntimeError) as error:
            return Failed(first_line(error))

    def shape(self, view: str, images: int) -> tuple[int, ...]:
        """The shape of a batch."""
        side, channels = self.form.image_size, self.form.channels
        return (images, *((5,) if view == "corners" else ()), side, side, channels)

    def _decode(self, request: Request) -> Tensor | Broken:
        images = torch.empty(self.shape(request.view, len(request.offsets)), dtype=torch.uint8)
        if get_worker_info() is not None:
            images.share_memory_()  # here a failure is heard; in the thread that sends it, it would leave others waiting
        pixels = images.numpy()
        for i in range(len(request.offsets)):
            content = os.pread(self._descriptor(), int(request.lengths[i]), int(request.offsets[i]))
            if not is_whole(content, None if request.digests is None else request.digests[i]):
                return Broken(int(request.samples[i]), CHANGED)
            try:
                pixels[i] = self._view(content, request, i)
            except Unreadable as error:
                return Broken(int(request.samples[i]), str(error))
        return images

    def _view(self, content: bytes, request: Request, i: int) -> np.ndarray:
        from reslab.data.decode import centre, corners
        from reslab.data.window import window

        if request.view == "window":
            top, left, height, width = map(int, request.boxes[i])
            return window(content, self.form, top=top, left=left, height=height, width=width)
        return (corners if request.view == "corners" else centre)(content, self.form)

    def _descriptor(self) -> int:
        if not self._open:
            self._open.append(os.open(self.archive, os.O_RDONLY))
        return self._open[0]

    def __reduce__(self) -> tuple[Any, ...]:
        return Decoder, (self.archive, self.form)  # a descriptor is this process's own


class _Popen(popen_spawn_posix.Popen):
    def terminate(self) -> None:
        self.kill()  # SIGTERM is handed on


class DecodingProcess(SpawnProcess):
    """Ends as multiprocessing ends a forked process: tidied up, but without taking its interpreter down.

    Signals are its parent's: it hands them on and decodes until that has saved what it computes. Killed, its parent takes it along.
    """

    _Popen = staticmethod(_Popen)

    def start(self) -> None:
        """Start with signals held back until they are handed on."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, stop.SIGNALS)
        try:
            super().start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def run(self) -> None:
        """Decode until there is nothing more to do; a failure ends the process as usual."""
        stop.end_with_parent()
        if not has_room_for_addresses():
            tempfile.tempdir = SHORT
        super().run()
        # A thread of torch's queue may still be copying a batch into shared memory. Python 3.13 and older end a thread that asks
        # for the interpreter while that is taken down, and inside of torch's C++ this is std::terminate: the process would abort.
        atexit.register(os._exit, 0)


def hand_signals_on(_: int) -> None:
    """Let the parent decide about each signal that this process gets."""
    for number in stop.SIGNALS:
        signal.signal(number, lambda signum, frame: os.kill(os.getppid(), signum))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, stop.SIGNALS)


class DecodingContext(SpawnContext):
    """Starts decoding processes afresh, and knows them: a forked copy of torch's threads or CUDA would hang."""

    def __init__(self) -> None:
        self.processes: list[DecodingProcess] = []

    def Process(self, *arguments: Any, **options: Any) -> DecodingProcess:
        """A new process, not started."""
        self.processes.append(DecodingProcess(*arguments, **options))
        return self.processes[-1]


def unchanged(batch: Any) -> Any:
    """The batch as it is: the loader has nothing to collate."""
    return batch
