"""The checkpoint store: results appear whole, one process at a time, old ones can go."""

import multiprocessing
import os
import time
from pathlib import Path

import pytest
from filelock import FileLock, Timeout

from reslab.errors import UserError
from reslab.runs import folders


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    return tmp_path


def test_results_appear_whole(root):
    folder = folders.SeedFolder.of("abc", 0)
    assert folder.path == root / "checkpoints" / "abc" / "seed0"
    with folder.locked():
        folder.checkpoint.write_text("state")
        (folder.start_draft() / "half").write_text("killed here")
        draft = folder.start_draft()
        assert not list(draft.iterdir())
        (draft / "record.json").write_text("{}")
        assert not folder.finished.exists()
        folder.finish()
    assert [path.name for path in folder.finished.iterdir()] == ["record.json"]
    assert not folder.checkpoint.exists()


def hold(root: str, seconds: float) -> None:
    os.environ["DVC_ROOT"] = root
    with folders.SeedFolder.of("abc", 0).locked():
        Path(root, "held").touch()
        time.sleep(seconds)


def test_a_killed_holder_frees_the_folder(root):
    holder = multiprocessing.get_context("spawn").Process(target=hold, args=(str(root), 600))
    holder.start()
    while not (root / "held").exists():
        time.sleep(0.01)
    holder.kill()
    holder.join()
    with folders.SeedFolder.of("abc", 0).locked():
        pass  # a lock that outlived its process would hang here until the test's timeout


def test_an_output_is_filled_by_one_at_a_time_and_a_network_in_training_is_not_pruned(root):
    with folders.output_locked(root / "runs" / "a"), folders.SeedFolder.of("busy", 0).locked():
        assert folders.prune(keep_days=0, dry_run=True) == []
        with pytest.raises(Timeout), FileLock(root / "runs" / ".a.lock", blocking=False):
            pass
    assert [path.name for path in folders.prune(keep_days=0, dry_run=True)] == ["busy"]


def test_half_written_checkpoints_of_killed_processes_are_cleared(root):
    folder = folders.SeedFolder.of("abc", 0)
    folder.path.mkdir(parents=True)
    (folder.path / ".node7.123.draft").write_text("half")
    with folder.locked():
        assert [path.name for path in folder.path.iterdir()] == ["lock"]


def test_prune_deletes_what_was_not_used(root):
    for name in ("old", "new"):
        folders.SeedFolder.of(name, 0).start_draft()
    for path in [root / "checkpoints" / "old", *(root / "checkpoints" / "old").rglob("*")]:
        os.utime(path, (0, 0))
    assert [path.name for path in folders.prune(keep_days=30, dry_run=True)] == ["old"]
    assert (root / "checkpoints" / "old").exists()
    assert [path.name for path in folders.prune(keep_days=30, dry_run=False)] == ["old"]
    assert [path.name for path in (root / "checkpoints").iterdir()] == ["new"]
    with pytest.raises(UserError, match="days"):
        folders.prune(keep_days=-1, dry_run=True)


@pytest.mark.parametrize("note", ["", "nan", "inf", "-1", "1e300", "soon", "\N{SNOWMAN}"])
def test_a_damaged_note_of_the_first_start_is_written_anew(root, note):
    folder = folders.SeedFolder.of("abc", 0)
    folder.path.mkdir(parents=True)
    (folder.path / "started").write_text(note, encoding="utf-8")
    first = folder.first_start()
    assert first > 1.7e9 and folder.first_start() == first


def test_a_note_of_a_terabyte_is_not_read(root):
    (folder := folders.SeedFolder.of("abc", 0)).path.mkdir(parents=True)
    (note := folder.path / "started").touch()
    os.truncate(note, 2**40)
    assert folder.first_start() > 1.7e9
    assert note.stat().st_size < 40


def test_an_output_is_removed_only_if_all_in_it_is_like_what_its_stage_makes(tmp_path):
    output = tmp_path / "study [v2]" / "out"
    for name in ("a.png", "seed0/record.json"):
        path = output / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    with pytest.raises(UserError, match=r"holds 'seed0/record.json', which is not made here"):
        folders.remove_output(output, "*.png", "*.json")  # not at that depth
    folders.remove_output(output, "*.png", "seed*/record.json")
    assert not output.exists()
