"""What an interrupted inspection of images has found, kept for the next run in checkpoints/."""

import hashlib
import io
import json
import shutil
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np

from reslab import storage
from reslab.data.form import Form
from reslab.runs.folders import checkpoints

SECONDS_BETWEEN_SAVES = 60.0
CHECKSUM_BYTES = 32  # a sha256 at the end of the file
MEASURED = ("digests", "height", "width", "histograms", "pixel_sums")


class Unfinished:
    """The findings about the first images of an index; they hold for one archive, index and form only."""

    def __init__(self, archive: Path, table: np.ndarray, form: Form, counted: np.ndarray) -> None:
        found = archive.stat()
        of = hashlib.sha256(f"{found.st_size} {found.st_mtime_ns} {json.dumps(asdict(form), sort_keys=True)}".encode())
        of.update(table.tobytes() + counted.tobytes())
        self.folder = checkpoints() / f"preprocess-{of.hexdigest()[:16]}"
        self.file = self.folder / "inspected.npz"
        self.saved = time.monotonic()

    def load(self) -> tuple[int, dict[str, np.ndarray], list[tuple[str, str]]]:
        """How many images were inspected, what was measured, and the broken ones; (0, {}, []) if nothing whole is there."""
        try:
            content = self.file.read_bytes()
        except OSError:
            return 0, {}, []
        found, checksum = content[:-CHECKSUM_BYTES], content[-CHECKSUM_BYTES:]
        if hashlib.sha256(found).digest() != checksum:  # damaged, or of an older version: they are inspected again
            return 0, {}, []
        with np.load(io.BytesIO(found), allow_pickle=False) as stored:
            broken = [(str(name), str(reason)) for name, reason in json.loads(bytes(stored["broken"]))]
            return int(stored["count"]), {name: stored[name] for name in MEASURED}, broken

    def save(self, count: int, measured: dict[str, np.ndarray], broken: list[tuple[str, str]]) -> None:
        """Store the findings about the first `count` images in one step, once a minute."""
        if time.monotonic() - self.saved < SECONDS_BETWEEN_SAVES:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        found = io.BytesIO()
        np.savez(found, count=count, broken=np.frombuffer(json.dumps(broken).encode(), np.uint8), **measured)
        with storage.replacing(self.file) as draft:
            draft.write_bytes(found.getvalue() + hashlib.sha256(found.getvalue()).digest())
        self.saved = time.monotonic()

    def done(self) -> None:
        """Drop the findings: they are in the prepared dataset now."""
        shutil.rmtree(self.folder, ignore_errors=True)
