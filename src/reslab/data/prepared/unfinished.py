"""What an interrupted inspection of images has found, kept for the next run in checkpoints/."""

import hashlib
import json
import shutil
import time
import zipfile
from dataclasses import asdict
from pathlib import Path

import numpy as np

from reslab.data.form import Form
from reslab.runs.folders import checkpoints

SECONDS_BETWEEN_SAVES = 60.0
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
        """How many images were inspected, what was measured, and the broken ones; (0, {}, []) if nothing usable is there."""
        try:
            with np.load(self.file, allow_pickle=False) as stored:
                broken = [(str(name), str(reason)) for name, reason in json.loads(bytes(stored["broken"]))]
                return int(stored["count"]), {name: stored[name] for name in MEASURED}, broken
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return 0, {}, []

    def save(self, count: int, measured: dict[str, np.ndarray], broken: list[tuple[str, str]]) -> None:
        """Store the findings about the first `count` images in one step, once a minute."""
        if time.monotonic() - self.saved < SECONDS_BETWEEN_SAVES:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        draft = self.folder / f".{self.file.name}"
        with draft.open("wb") as file:
            np.savez(file, count=count, broken=np.frombuffer(json.dumps(broken).encode(), np.uint8), **measured)
        draft.replace(self.file)
        self.saved = time.monotonic()

    def done(self) -> None:
        """Drop the findings: they are in the prepared dataset now."""
        shutil.rmtree(self.folder, ignore_errors=True)
