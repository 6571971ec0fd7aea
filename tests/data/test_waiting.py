"""Decoding that cannot go on: said before, or when it happens; no wait without an end."""

import multiprocessing
import os
import signal
import tempfile
import threading
import time
from pathlib import Path

import pytest
import small_disk
import torch
from orphans import is_running
from pictures import prepare, write_pictures

from reslab.data.batches import streamed, waiting
from reslab.data.batches.order import Order
from reslab.data.batches.streamed import Streamed
from reslab.data.prepared import inspection
from reslab.errors import UserError

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    return prepare(write_pictures(folder / "in"), folder, stored="files").train


@pytest.fixture
def under_way(pictures):
    """An epoch whose processes have decoded a batch."""
    streamed.stop_processes()
    epoch = Streamed(pictures, Order(24, 1), CPU, 2).epoch(1)
    next(epoch)
    yield epoch, multiprocessing.active_children()
    epoch.close()
    streamed.stop_processes()


def test_a_process_that_is_killed_is_said(under_way):
    epoch, processes = under_way
    processes[0].kill()
    with pytest.raises(UserError, match=r"(DataLoader worker|a decoding process was killed).* \(out of memory\? RESLAB_DECODERS "):
        list(epoch)


def test_processes_that_make_no_progress_are_given_up(under_way, monkeypatch):
    epoch, processes = under_way
    monkeypatch.setattr(waiting, "MINUTES", 1 / 60)
    for process in processes:
        os.kill(process.pid, signal.SIGSTOP)
    with pytest.raises(UserError, match=r"decoding made no progress for .* minutes"):
        list(epoch)
    assert not any(is_running(process.pid) for process in processes)


def test_a_signal_to_a_process_is_its_parents(under_way):
    epoch, processes = under_way
    got: list[int] = []
    before = {number: signal.signal(number, lambda number, frame: got.append(number)) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        for process, number in zip(processes, before, strict=True):
            os.kill(process.pid, number)
        assert len(list(epoch)) == 23
        while set(got) != set(before):  # else one might come when the handler is gone
            time.sleep(0.01)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_an_archive_that_is_gone_is_said(pictures):
    hidden = pictures.archive.rename(pictures.archive.with_name("hidden"))
    try:
        with pytest.raises(UserError, match=r"cannot decode a batch .*No such file"):
            list(Streamed(pictures, Order(24, 6), CPU, 1).epoch(1))
    finally:
        hidden.rename(pictures.archive)


CODE = """
from pathlib import Path
import torch
from reslab import errors
from reslab.data import prepared
from reslab.data.batches.order import Order
from reslab.data.batches.streamed import Streamed
def fill(folder):
    with open(folder + "/taken", "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return
def main():
    data = prepared.load(Path({folder!r})).train
    epoch = Streamed(data, Order(24, 2), torch.device("cpu"), 2).epoch(1)
    {body}
errors.run(main)
"""
SHARED = Path("/dev/shm")


@pytest.fixture(scope="module")
def large(tmp_path_factory) -> str:
    """Pictures of 0.75 MiB each, prepared."""
    folder = tmp_path_factory.mktemp("large")
    prepare(write_pictures(folder / "in"), folder, stored="files", image_size=512, resize=512)
    return str(folder / "prepared")


def test_too_little_shared_memory_is_said_before(large, tmp_path):
    done = small_disk.run(CODE.format(folder=large, body="list(epoch)"), tmp_path, disk=SHARED, size="5m")
    assert done.stderr == (
        "error: decoding needs 9 MiB of shared memory, and /dev/shm has 5 free; "
        "enlarge it (docker run --shm-size=8g), or set RESLAB_DECODERS=0\n"
    )
    assert done.returncode == 1


def test_shared_memory_that_others_take_meanwhile_is_said(large, tmp_path):
    body = "next(epoch); fill('/dev/shm'); list(epoch)"
    done = small_disk.run(CODE.format(folder=large, body=body), tmp_path, disk=SHARED, size="10m")
    assert done.returncode == 1
    assert "cannot decode a batch (unable to allocate shared memory" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_long_tmpdir_works(pictures, tmp_path, monkeypatch):
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    assert not waiting.has_room_for_addresses()
    assert len(list(Streamed(pictures, Order(24, 6), CPU, 1).epoch(1))) == 4
    streamed.stop_processes()
    assert list(folder.iterdir()) == []


def test_a_long_tmpdir_without_a_short_one_is_refused(pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / ("long" * 30)))
    monkeypatch.setattr(waiting, "SHORT", str(tmp_path / "missing"))
    with pytest.raises(UserError, match="longlong is too long for decoding processes: at most 75 characters"):
        next(Streamed(pictures, Order(24, 6), CPU, 1).epoch(1))


def forget(task) -> None:
    time.sleep(600)


def test_inspecting_images_ends_when_nothing_comes_back(monkeypatch):
    monkeypatch.setattr(inspection, "SECONDS_OF_A_MINUTE", 0.5)
    monkeypatch.setattr(inspection, "_inspect", forget)
    threads, processes = set(threading.enumerate()), set(multiprocessing.active_children())
    with pytest.raises(UserError, match="no image was decoded for 5 minutes"):
        list(inspection._run(iter([0, 1]), 2))
    assert set(threading.enumerate()) <= threads
    assert set(multiprocessing.active_children()) <= processes


def die(task) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_process_that_is_killed_while_it_inspects_is_said(monkeypatch):
    monkeypatch.setattr(inspection, "_inspect", die)
    with pytest.raises(UserError, match="a decoding process was killed"):
        list(inspection._run(iter([0, 1]), 2))
