"""A full disk and a read-only one: every writer names its file and how to go on; the old file stays."""

import errno
import json
import os
import platform
import subprocess
from pathlib import Path

import pytest
import small_disk
from project import SMALL_PARAMS

from reslab import storage
from reslab.data.datasets.archives import locate
from reslab.environment import user_cache
from reslab.errors import UserError, one_line

SUPPORT = str(Path(__file__).parent / "support")
WRITERS = {
    "checkpoint": "checkpoint.save(path, *parts, Log())",
    "weights": "file.save_weights(path, parts[0].model, {})",
    "predictions": "predictions.save(path, predictions.Predictions(np.zeros((9000, 10), np.float32), np.zeros(9000, int), []))",
    "record": "records.write_record(path, {'x': 'y' * 400_000})",
    "history": "records.write_history(path, [{'epoch': n} for n in range(90_000)])",
    "copy": "stage('train')['take_over'](large, path)",
    "copied file": "shutil.copyfile(large / 'weights', path)",
    "release": "archive.write(path, {'x': large / 'weights'})",
    "table": "stage('aggregate')['write_csv'](pd.DataFrame({'x': range(90_000)}), path)",
    "figure": "style.save(figure(), path.with_suffix('.svg'))",
    "figure for a paper": "style.save(figure(), path.with_suffix('.pdf'))",
    "trace": "trace(path)",
    "prepared data": "path.mkdir(), prepared.save(dataset(), path, name='x', validation=0)",
    "fetched data": "stage('fetch')['fetch'](path, params)",
    "fetched from a mirror": "stage('fetch')['fetch'](path, mirror())",
    "unpacked into TMPDIR": "unpack(path)",
    "evaluated": "path.mkdir(), stage('evaluate')['write_predictions']({'test': answers()}, path)",
}
CODE = """
import http.server, json, os, runpy, shutil, sys, tempfile, threading, zipfile
from pathlib import Path
sys.path.append({support!r})
import numpy as np, pandas as pd, torch
from reslab.data import prepared
from reslab.data.prepared.splits import Arrays, Dataset
from reslab.errors import new_file, one_line
from reslab.report import predictions
from reslab.report.figures import style
from reslab.runs import records
from reslab.training import checkpoint
from reslab.training.log import Log
from reslab.weights import archive, file
from small_runs import run
from project import REPOSITORY

made = run(side=32)
parts = (made.step(), made.schedule)
large, params = Path("large").resolve(), Path("params.yaml").resolve()
def stage(name):
    return runpy.run_path(str(REPOSITORY / "stages" / (name + ".py")))
def mirror():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    Path("train-images-idx3-ubyte.gz").write_bytes(bytes(2**20))
    digits = params.read_text().replace("name: digits", f"name: mnist\\n  source: http://127.0.0.1:{{server.server_port}}/")
    Path("mirror.yaml").write_text(digits)
    return Path("mirror.yaml")
def unpack(path):
    path.mkdir()
    with zipfile.ZipFile(large / "a.zip", "w") as packed:
        packed.write(large / "weights", "net/model.safetensors")
    tempfile.tempdir = str(path)
    try:
        archive.unpacked(large / "a.zip")
    finally:
        tempfile.tempdir = None
def figure():
    import matplotlib.pyplot as plt
    drawn, axes = plt.subplots()
    for line in range(9):
        axes.plot(np.random.default_rng(line).random(9_000))
    return drawn
def trace(path):
    with torch.profiler.profile() as watching:
        for _ in range(2_000):
            torch.zeros(1) + 1
    with new_file(path) as draft:
        watching.export_chrome_trace(str(draft))
def dataset():
    images = np.zeros((4000, 1, 16, 16), np.uint8)
    return Dataset(Arrays(images, np.arange(4000) % 4), Arrays(images, np.arange(4000) % 4), list("abcd"))
def answers():
    return predictions.Predictions(np.zeros((9000, 10), np.float32), np.zeros(9000, np.int64), list("abcdefghij"))
def attempt(write):
    path = Path("small") / "x"
    try:
        write(path)
    except Exception as error:
        return one_line(error) if isinstance(error, OSError) else repr(error)
def clear():
    os.system("rm -rf small/* small/.x*")
said = {{}}
{writers}
print(json.dumps(said))
"""


def every_writer(folder: Path, **disk: str) -> dict[str, str]:
    """What each writer says on a small disk, on which there is a file `small/x` unless it needs a folder there."""
    (folder / "small").mkdir()
    (folder / "large").mkdir()
    (folder / "large" / "weights").write_bytes(bytes(2**20))
    (folder / "params.yaml").write_text(SMALL_PARAMS)
    calls = (f"said[{name!r}] = attempt(lambda path: ({call}))\nclear()" for name, call in WRITERS.items())
    code = CODE.format(support=SUPPORT, writers="\n".join(calls))
    done = small_disk.run(code, folder, disk=folder / "small", **disk)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_every_writer_names_a_full_disk(tmp_path):
    said = every_writer(tmp_path, size="100k")
    assert set(said) == set(WRITERS)
    for name, line in said.items():
        assert line is not None, name
        assert line.startswith("small/x") or line.startswith(f"{tmp_path}/small/x"), (name, line)
        assert "no space left on the disk, which has 0." in line, (name, line)
        assert line.endswith(storage.GO_ON), (name, line)


@pytest.mark.slow
def test_every_writer_names_a_read_only_disk(tmp_path):
    said = every_writer(tmp_path, size="2m", prepare='mount -o remount,ro "$1"')
    for name, line in said.items():
        assert line is not None, name
        assert "small/" in line.split(":")[0] and ".draft" not in line, (name, line)
        assert ": cannot be written (Read-only file system); make it writable" in line, (name, line)


def test_a_text_file_is_replaced_whole_or_not_at_all(tmp_path):
    """params.yaml, README, pages, machines: a kill or a full disk leaves the old one; a link stays a link, the mode as it was."""
    real, link = tmp_path / "real.yaml", tmp_path / "params.yaml"
    real.write_text("old")
    real.chmod(0o640)
    link.symlink_to(real)
    with pytest.raises(UnicodeEncodeError):
        storage.replace_text(link, "new \ud800")
    assert link.read_text() == "old"
    storage.replace_text(link, "new")
    assert (real.read_text(), real.stat().st_mode & 0o777, link.is_symlink()) == ("new", 0o640, True)
    storage.replace_text(long := tmp_path / ("n" * 255), "text")
    assert set(tmp_path.iterdir()) == {real, link, long}
    with pytest.raises(OSError, match="File name too long: ") as caught, storage.replacing(tmp_path / ("n" * 256)) as draft:
        draft.write_text("text")
    assert ".draft" not in str(caught.value)


def test_what_a_killed_process_left_half_written_is_removed_by_the_next(tmp_path):
    """That of a running process, or of one on another machine that shares the folder, stays."""
    ended = subprocess.Popen(["true"])
    ended.wait()
    here = platform.node()
    names = [f".{here}.{ended.pid}.draft", f".{here}.{os.getppid()}.draft", f".not-{here}.{ended.pid}.draft"]
    for name in names:
        (tmp_path / name).write_text("half")
    storage.replace_text(tmp_path / "new", "text")
    assert {path.name for path in tmp_path.iterdir()} == {"new", *names[1:]}


def test_a_folder_that_cannot_be_removed_is_named(tmp_path):
    storage.remove(tmp_path / "none")
    (tmp_path / "real").mkdir()
    (link := tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(OSError, match=r"link'$"):
        storage.remove(link)
    storage.remove(tmp_path / "real")
    assert not (tmp_path / "real").exists()


def test_a_device_is_written_to_and_not_replaced(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    storage.replace_text(pipe, "text")
    assert (os.read(reader, 10), pipe.is_fifo()) == (b"text", True)
    os.close(reader)
    with pytest.raises(OSError, match=r"a pipe or a socket that nobody reads; remove it: .*pipe"):
        storage.replace_text(pipe, "text")


@pytest.mark.parametrize(
    ("error", "number"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), errno.ENOSPC),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), errno.EDQUOT),
        (RuntimeError("I/O error: Read-only file system (os error 30)"), errno.EROFS),
        (RuntimeError("[enforce fail] file write failed: No space left on device"), errno.ENOSPC),
    ],
)
def test_an_error_of_a_library_is_named_by_its_file(error, number):
    with pytest.raises(OSError, match="runs/a") as caught, storage.writing(Path("runs/a")):
        raise error
    assert caught.value.errno == number


def test_other_errors_stay_as_they_are():
    for error in (UserError("no space left in the schedule"), RuntimeError("a bug"), OSError(errno.ENOENT, "No such file")):
        with pytest.raises(type(error)) as caught, storage.writing(Path("runs/a")):
            raise error
        assert caught.value is error
    assert one_line(OSError(errno.ENOENT, "No such file", "x")) == "[Errno 2] No such file: 'x'"


def test_a_copy_that_fails_names_its_target_and_leaves_the_old_file(tmp_path):
    """The system names the source first, which may be on a disk with much room."""
    (path := tmp_path / "new").write_text("old")
    failed = OSError(errno.ENOSPC, "No space left on device", "old", None, str(path))
    assert one_line(failed).startswith(f"{path}: no space left on the disk")
    with pytest.raises(OSError, match=r"/new'$"), storage.replacing(path) as draft:
        draft.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device", "old", None, str(draft))
    assert {file: file.read_text() for file in tmp_path.iterdir()} == {path: "old"}


def test_where_nobody_knows_the_file_the_full_disks_are_named(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(storage, "LEAST", 2**80)
    line = one_line(OSError(errno.ENOSPC, "No space left on device"))
    assert line.startswith(f"no space left on the disk of {tmp_path} (")
    assert line.endswith(storage.GO_ON)


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch):
    """Such as the number that a container runs under; Python raises RuntimeError for it, and for the home of nobody."""
    monkeypatch.setenv("HOME", "~")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    for asked in (user_cache, lambda: locate("~/images"), lambda: locate("~no-such-user/images")):
        with pytest.raises(UserError, match="has no home directory here; set HOME"):
            asked()
    assert Path.cwd() in storage.places()
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert user_cache() == Path("/x/reslab")


@pytest.mark.parametrize("before", [None, KeyError("x"), ValueError("x")])
def test_a_nameless_failure_on_a_full_disk_is_explained_whatever_was_before_it(before, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(storage, "LEAST", 2**80)
    error = RuntimeError("write failed")
    error.__context__ = before
    assert storage.explained(error).startswith(f"no space left on the disk of {tmp_path}")


def test_an_error_that_is_raised_from_none_is_its_own():
    error = RuntimeError("no such name")
    error.__context__ = OSError(errno.ENOSPC, "No space left on device", "file")
    assert storage.explained(error)
    error.__suppress_context__ = True
    assert storage.explained(error) is None
    error.__cause__ = OSError(errno.EDQUOT, "Disk quota exceeded", "file")
    assert storage.explained(error)
