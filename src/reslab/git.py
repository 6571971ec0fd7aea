"""Which code made a result: commit, and whether the working tree differed from it."""

import subprocess
from pathlib import Path

TRACKED = ("src", "stages", "params.yaml", "pyproject.toml", "constraints.txt")


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def commit_state() -> dict:
    """The commit, and `dirty`: whether code, parameters or pinned versions differ from it. None outside git."""
    changes = _git("status", "--porcelain", "--", *TRACKED)
    return {"commit": _git("rev-parse", "HEAD"), "dirty": None if changes is None else bool(changes)}


def has_uncommitted_edits(path: Path) -> bool:
    """Whether a file differs from the last commit; True where git cannot tell."""
    return _git("status", "--porcelain", "--", str(path)) != ""
