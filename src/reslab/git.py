"""Which code made a result: commit, and whether the working tree differed from it."""

import os
import subprocess
import sys
from pathlib import Path

TRACKED = ("src", "stages", "params.yaml", "pyproject.toml", "constraints.txt")


class _CannotTell(Exception):
    """Why git does not answer."""


def _git(*arguments: str) -> str:
    environment = os.environ | {"LC_ALL": "C"}  # its reasons in English
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False, env=environment)
    except OSError as error:
        raise _CannotTell("git is not installed") from error
    if done.returncode:
        raise _CannotTell(_in_words(done.stderr))
    return done.stdout.strip()


def _in_words(said: str) -> str:
    """The reason in what git has said."""
    if "dubious ownership" in said:
        mend = f"`git config --global --add safe.directory {Path.cwd()}` lets it"
        return f"git does not trust this folder, which belongs to another user; {mend}"
    return next(iter(said.strip().splitlines()), "git failed").removeprefix("fatal: ")


def commit_state() -> dict:
    """The commit, and `dirty`: whether code, parameters or pinned versions differ from it.

    None, and a warning that says why, if git cannot tell.
    """
    try:
        return {"commit": _git("rev-parse", "HEAD"), "dirty": bool(_git("status", "--porcelain", "--", *TRACKED))}
    except _CannotTell as error:
        print(f"warning: records will not say of which commit they are: {error}", file=sys.stderr)
        return {"commit": None, "dirty": None}


def why_not_committed(path: Path) -> str | None:
    """Why a file may have edits that the last commit does not have: it differs, or git cannot tell; None if it has none."""
    try:
        return "has edits that are not committed" if _git("status", "--porcelain", "--", str(path)) else None
    except _CannotTell as error:
        return f"may have edits that git does not have: it cannot tell ({error})"
