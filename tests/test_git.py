"""What git says of a folder, and what is said where it does not answer."""

import os
import subprocess
from pathlib import Path

import pytest

from reslab import git


def run(*arguments: str) -> str:
    who = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    return subprocess.run(["git", *who, *arguments], check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A repository with one commit, which is the working directory; nobody's settings count."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    run("init", "--quiet")
    Path("params.yaml").write_text("study: x")
    run("add", ".")
    run("commit", "--quiet", "--message", "one")
    return tmp_path


def test_commit_and_edits(folder, capsys):
    commit = run("rev-parse", "HEAD")
    assert git.commit_state() == {"commit": commit, "dirty": False}
    assert git.why_not_committed(Path("params.yaml")) is None
    Path("params.yaml").write_text("study: y")
    assert git.commit_state() == {"commit": commit, "dirty": True}
    assert git.why_not_committed(Path("params.yaml")) == "has edits that are not committed"
    assert capsys.readouterr().err == ""


def test_a_folder_that_git_does_not_trust_is_said(folder, capsys):
    if os.geteuid():
        pytest.skip("only root can give a folder away")
    for path in [folder, *folder.rglob("*")]:
        os.chown(path, 12345, 12345)
    mend = f"git does not trust this folder, which belongs to another user; `git config --global --add safe.directory {folder}`"
    assert mend in git.why_not_committed(Path("params.yaml"))
    assert git.commit_state() == {"commit": None, "dirty": None}
    assert capsys.readouterr().err.startswith(f"warning: records will not say of which commit they are: {mend}")


def damaged(folder: Path, monkeypatch) -> None:
    """Only a git that is no program."""
    (folder / "git").write_bytes(b"\0")
    (folder / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


@pytest.mark.parametrize(
    ("hide", "reason"),
    [
        (lambda folder, monkeypatch: (folder / ".git").rename(folder / "git"), "not a git repository"),
        (lambda folder, monkeypatch: monkeypatch.setenv("PATH", str(folder)), "git is not installed"),
        (damaged, "git cannot be started (Exec format error)"),
    ],
)
def test_whatever_hides_the_commit_is_said(folder, monkeypatch, capsys, hide, reason):
    hide(folder, monkeypatch)
    assert git.commit_state() == {"commit": None, "dirty": None}
    assert f"warning: records will not say of which commit they are: {reason}" in capsys.readouterr().err


def test_names_that_are_no_text_are_names(folder):
    run("config", "core.quotePath", "false")
    Path("src").mkdir()
    Path(os.fsdecode(b"src/\xff.py")).touch()
    commit = run("rev-parse", "HEAD")
    run("update-ref", os.fsdecode(b"refs/exps/aa/bb/\xff"), commit)
    assert git.commit_state() == {"commit": commit, "dirty": True}
    assert git.experiments() == {os.fsdecode(b"\xff"): commit}
    assert git.find(os.fsdecode(b"\xff")) == commit


def test_to_look_changes_nothing(folder):
    """A process that is killed while git writes its index leaves a lock, which the user's next commit would meet."""
    before = Path(".git/index").stat().st_ino
    os.utime("params.yaml", (0, 0))
    assert git.commit_state()["dirty"] is False
    assert Path(".git/index").stat().st_ino == before


def test_git_that_does_not_answer_is_said(folder, monkeypatch, capsys):
    (folder / "git").write_text("#!/bin/sh\nexec sleep 600\n")
    (folder / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    monkeypatch.setattr(git, "SECONDS", 0.2)
    assert git.commit_state() == {"commit": None, "dirty": None}
    assert "of which commit they are: git has not answered for 0.2 s" in capsys.readouterr().err


@pytest.mark.parametrize("name", git.OF_ANOTHER)
def test_the_repository_of_a_hook_is_not_taken_for_this_one(folder, tmp_path_factory, monkeypatch, name):
    """Git leaves these variables to what it starts."""
    commit, other = run("rev-parse", "HEAD"), tmp_path_factory.mktemp("other")
    run("init", "--quiet", str(other))
    run("-C", str(other), "commit", "--quiet", "--allow-empty", "--message", "another")
    places = {"GIT_WORK_TREE": other, "GIT_INDEX_FILE": other / "index", "GIT_OBJECT_DIRECTORY": other / ".git" / "objects"}
    monkeypatch.setenv(name, str(places.get(name, other / ".git")))
    assert git.commit_state() == {"commit": commit, "dirty": False}
