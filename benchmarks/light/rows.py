"""Rows that are saved as soon as they are known."""

import json
import os
import traceback
from pathlib import Path


class Recorder:
    """Saves the rows of a part, each at once, and counts those that say that something failed."""

    def __init__(self, part: str, out: Path) -> None:
        self.part, self.out, self.failed = part, out, 0
        self.dry = bool(os.environ.get("LIGHT_DRY"))  # small, on the stand-in

    def __call__(self, **row: object) -> None:
        self.failed += "failed" in row
        with (self.out / "first_light.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps({"part": self.part} | row, default=str) + "\n")

    def attempt(self, row: dict, function, *arguments: object) -> None:  # noqa: ANN001 - any
        """Save the row with what the function finds, or with why it failed; a failure ends nothing else."""
        try:
            self(**row, **function(*arguments))
        except Exception as error:  # noqa: BLE001 - the other rows are still worth having
            traceback.print_exc()
            self(**row, failed=in_words(error))


def in_words(error: Exception) -> str:
    """What went wrong, in a line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
