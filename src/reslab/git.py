"""Which code made a result: commit, and whether the working tree differed from it; files as other commits have them."""

import os
import subprocess
import sys
import tarfile
from pathlib import Path

from reslab.errors import UserError, shown

TRACKED = ("src", "stages", "params.yaml", "pyproject.toml", "constraints.txt")

SECONDS = 60  # for an answer
SETTINGS = {
    "LC_ALL": "C",  # its reasons in English
    "GIT_OPTIONAL_LOCKS": "0",  # to look at a file changes nothing, so that a kill leaves no lock
    "GIT_TERMINAL_PROMPT": "0",  # for a clone that is not whole, whose server wants a password
}

# Of the repository in which git has started another program, such as a hook: of this folder git would tell that one's commit.
OF_ANOTHER = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR")


class NoCommit(UserError):
    """Nothing that git or DVC knows has this name."""


class _CannotTell(Exception):
    """Why git does not answer."""


def _git(*arguments: str) -> str:
    pipes = {"stdin": subprocess.DEVNULL, "capture_output": True, "encoding": "utf-8", "errors": "surrogateescape"}
    environment = {name: value for name, value in os.environ.items() if name not in OF_ANOTHER} | SETTINGS
    try:
        done = subprocess.run(["git", *arguments], check=False, env=environment, timeout=SECONDS, **pipes)
    except (FileNotFoundError, PermissionError) as error:
        raise _CannotTell("git is not installed") from error
    except OSError as error:
        raise _CannotTell(f"git cannot be started ({error.strerror})") from error
    except subprocess.TimeoutExpired as error:
        raise _CannotTell(f"git has not answered for {SECONDS} s") from error
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


def described(folder: Path) -> str | None:
    """The commit of a checkout, with -dirty if its files differ from it; None if git cannot tell."""
    try:
        return _git("-C", str(folder), "describe", "--always", "--dirty", "--exclude=*")
    except _CannotTell:
        return None


def why_not_committed(path: Path) -> str | None:
    """Why a file may have edits that the last commit does not have: it differs, or git cannot tell; None if it has none."""
    try:
        return "has edits that are not committed" if _git("status", "--porcelain", "--", str(path)) else None
    except _CannotTell as error:
        return f"may have edits that git does not have: it cannot tell ({error})"


EXPERIMENTS = "refs/exps/"  # DVC keeps an experiment as a commit under refs/exps/<baseline, cut in two>/<name>
INTERNAL = ("exec", "stash", "celery", "tasks", "temp")  # of DVC, no experiments


def experiments(baseline: str | None = None) -> dict[str, str]:
    """DVC's experiments by name -> commit, the oldest first; those of one commit, if a `baseline` is given. Raises UserError."""
    return {name: commit for began, name, commit in _experiments() if baseline in (None, began)}


def _experiments() -> list[tuple[str, str, str]]:
    """The commit that each of DVC's experiments began at, its name, and its own commit, the oldest first."""
    listed = _answer("for-each-ref", "--sort=creatordate", "--format=%(objectname) %(refname)", EXPERIMENTS)
    found = []
    for commit, ref in (line.split(" ", 1) for line in listed.splitlines()):
        first, *rest = ref.removeprefix(EXPERIMENTS).split("/")
        if first not in INTERNAL and len(rest) == 2:
            found.append((first + rest[0], rest[1], commit))
    return found


def branches_and_tags() -> list[str]:
    """Their names; raises UserError."""
    return _answer("for-each-ref", "--format=%(refname:short)", "refs/heads", "refs/tags").splitlines()


def find(name: str) -> str:
    """The commit of a branch, a tag, a commit or an experiment of DVC, in this order.

    Of experiments of one name, the one that began at the current commit; raises UserError if all began elsewhere, and
    NoCommit if there is none.
    """
    if not name.startswith("-"):
        try:
            return _git("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
        except _CannotTell:
            called = {began: commit for began, other, commit in _experiments() if other == name}
        if found := called.get(_git("rev-parse", "HEAD")) if len(called) > 1 else next(iter(called.values()), None):
            return found
        if called:
            some = ", ".join(f"{commit[:8]} (began at {began[:8]})" for began, commit in called.items())
            raise UserError(f"{shown(name)}: several DVC experiments have this name; give the commit of one: {some}")
    raise NoCommit(f"{shown(name)}: no folder with results, and no branch, tag, commit or DVC experiment; `dvc exp list` has these")


def has(commit: str, path: str) -> bool:
    """Whether a commit has a file or folder."""
    return bool(_answer("ls-tree", commit, "--", path))


def unpack(commit: str, paths: list[str], folder: Path) -> None:
    """Write files as a commit has them into a folder; raises UserError if it has not all."""
    packed = folder / "files.tar"
    _answer("archive", "--format=tar", f"--output={packed}", commit, "--", *paths)
    with tarfile.open(packed) as files:
        files.extraction_filter = getattr(tarfile, "data_filter", None)  # Python before 3.11.4 has none
        files.extractall(folder)
    packed.unlink()


def _answer(*arguments: str) -> str:
    """What git prints; raises UserError with its reason."""
    try:
        return _git(*arguments)
    except _CannotTell as error:
        raise UserError(f"git: {error}") from None
