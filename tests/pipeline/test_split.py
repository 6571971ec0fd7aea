"""A study whose experiments are in several DVC files: it is the same study, and nothing of it is made again."""

import os
import shutil
from pathlib import Path

import pytest
from commands import reslab as command
from project import SMALL_PARAMS, call, edit, starts

from reslab.errors import UserError

FILES = ("dvc.yaml", "dvc.lock", "parts/000/dvc.yaml")


def reslab(folder: Path, *arguments: str) -> str:
    return call(folder, "env", "PYTHONPATH=src", "python", "-c", "from reslab.cli import main; main()", *arguments).stdout


def assert_up_to_date(folder: Path) -> None:
    assert "up to date" in call(folder, "dvc", "status").stdout


def test_a_split_study_is_up_to_date_and_goes_on(project):
    before = starts(project)
    assert "2 experiments in 2 files" in reslab(project, "split", "--experiments", "1")
    assert "matrix" not in (project / "dvc.yaml").read_text()
    assert_up_to_date(project)
    edit(project, "params.yaml", "  plain-tau: {}", "  plain-tau: {}\n  third:\n    model:\n      tau: 0.5")
    assert "3 experiments in 2 files" in reslab(project, "split", "--experiments", "2")
    assert sorted(path.name for path in (project / "parts").iterdir()) == ["000", "001"]
    call(project, "dvc", "repro")
    found = starts(project)
    assert {key: found[key] for key in before} == before
    assert sorted(found.keys() - before.keys()) == [("third", 0), ("third", 1)]
    assert "third" in (project / "metrics/tables/results.md").read_text()
    assert "6 finished, 0 to start" in reslab(project, "train")
    assert "3 experiments in 1 files" in reslab(project, "split")
    assert_up_to_date(project)


@pytest.fixture
def folder(tmp_path, repository, monkeypatch):
    """What `split` reads of a study that was split before, except dvc.lock files."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text(SMALL_PARAMS)
    shutil.copy(repository / "dvc.yaml", tmp_path)
    command("split")
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\xff\xfe",
        b"text",
        b"[]",
        b"stages:",
        b"stages: [a]",
        b"stages: {a: 1}",
        b"stages: {a: [",
        b"stages: {a: {}, a: {}}",
        b"stages: {a: {b: " + b"9" * 5000 + b"}}",
        b"[" * 3000,
        b"stages: &a {a: *a}",
        b'stages: {a: !!python/object/apply:os.system ["touch ran"]}',
    ],
    ids=lambda text: text.decode(errors="replace")[:20],
)
def test_a_damaged_file_of_dvc_is_named_and_nothing_is_written(name, text, folder):
    (folder / name).write_bytes(text)
    before = contents(folder)
    with pytest.raises(UserError, match=rf"^{name}: .*; `git checkout {name}` brings back the last one$"):
        command("split")
    assert contents(folder) == before


@pytest.mark.parametrize("name", FILES)
def test_a_pipe_in_place_of_a_file_of_dvc_is_not_waited_for(name, folder):
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)
    with pytest.raises(UserError, match=rf"^{name}: is a pipe"):
        command("split")


@pytest.mark.parametrize("place", ["parts/000/notes.txt", "parts/mine/dvc.yaml", "parts/notes.txt"])
def test_what_others_put_among_the_parts_is_neither_deleted_nor_in_the_way_half_done(place, folder):
    (folder / place).parent.mkdir(exist_ok=True)
    (folder / place).write_text("mine")
    before = contents(folder)
    with pytest.raises(UserError, match=r"^parts/.*: not made by `reslab split`; move it out of parts/$"):
        command("split", "--experiments", "1")
    assert contents(folder) == before


def test_parts_that_lead_elsewhere_are_refused(folder):
    (folder / "parts").rename(folder / "elsewhere")
    (folder / "parts").symlink_to("elsewhere")
    with pytest.raises(UserError, match=r"^parts: is a link or a file"):
        command("split")
    assert (folder / "elsewhere/000/dvc.yaml").exists()
