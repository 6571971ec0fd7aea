"""The work of a decoding process: requests in, bytes of images out. It imports little, so that it starts fast."""

import atexit
import os
from dataclasses import dataclass, field
from multiprocessing.context import SpawnContext, SpawnProcess
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from reslab.data.decode import Form, Unreadable, centre, corners, window


@dataclass(frozen=True)
class Request:
    """A batch to decode: where its images are in the archive, and which part of each."""

    samples: np.ndarray  # numbers in the split, for messages
    offsets: np.ndarray
    lengths: np.ndarray
    view: str  # centre, corners or window
    boxes: np.ndarray | None = None  # int64 (B, 4): top, left, height, width of each window


@dataclass(frozen=True)
class Broken:
    """An image that could not be decoded: a value, because an exception loses its text between processes."""

    sample: int
    reason: str


@dataclass(frozen=True)
class Decoder(Dataset):
    """Requests -> images uint8 (B, S, S, C), or (B, 5, S, S, C) for corners."""

    archive: Path
    form: Form
    _open: list[int] = field(default_factory=list, compare=False, repr=False)  # the descriptor, once it is needed

    def __getitem__(self, request: Request) -> Tensor | Broken:
        """Decode a batch; if some image cannot be decoded, return the first such one as `Broken` instead."""
        form = self.form
        views = (5,) if request.view == "corners" else ()
        images = torch.empty((len(request.offsets), *views, form.image_size, form.image_size, form.channels), dtype=torch.uint8)
        pixels = images.numpy()
        for i in range(len(request.offsets)):
            content = os.pread(self._descriptor(), int(request.lengths[i]), int(request.offsets[i]))
            try:
                pixels[i] = self._view(content, request, i)
            except Unreadable as error:
                return Broken(int(request.samples[i]), str(error))
        return images

    def _view(self, content: bytes, request: Request, i: int) -> np.ndarray:
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


class DecodingProcess(SpawnProcess):
    """Ends as multiprocessing ends a forked process: tidied up, but without taking its interpreter down."""

    def run(self) -> None:
        """Decode until there is nothing more to do; a failure ends the process as usual."""
        super().run()
        # A thread of torch's queue may still be copying a batch into shared memory. Python 3.13 and older end a thread that asks
        # for the interpreter while that is taken down, and inside of torch's C++ this is std::terminate: the process would abort.
        atexit.register(os._exit, 0)


class DecodingContext(SpawnContext):
    """Starts decoding processes afresh: a forked copy of torch's threads or CUDA would hang."""

    Process = DecodingProcess


def unchanged(batch: Any) -> Any:
    """The batch as it is: the loader has nothing to collate."""
    return batch
