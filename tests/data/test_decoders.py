"""How decoding processes end: with batches under way, with the process that started them, and when that is killed."""

import multiprocessing
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import torch
from orphans import assert_ends_with
from pictures import prepare, write_pictures

from reslab.data import prepared
from reslab.data.batches import streamed
from reslab.data.batches.decoder import DecodingContext
from reslab.data.batches.order import Order
from reslab.data.batches.streamed import Streamed

LARGE = 1024  # pixels a side: a batch is 25 MB, which takes a while to be copied into shared memory


@pytest.fixture(scope="module")
def work(tmp_path_factory) -> Path:
    """A folder with large pictures prepared in it."""
    folder = tmp_path_factory.mktemp("large")
    prepare(write_pictures(folder / "in"), folder, stored="files", image_size=LARGE, resize=LARGE)
    return folder


@pytest.mark.slow
def test_they_end_in_order_while_batches_are_sent(work):
    """Unless they do, torch raises from a signal handler in whatever this process does next."""
    data = prepared.load(work / "prepared").train
    others = set(multiprocessing.active_children())  # of other tests
    for seed in range(3):
        epoch = Streamed(data, Order(24, 8, seed=seed), torch.device("cpu"), 2).epoch(1)
        next(epoch)
        epoch.close()
        started = set(multiprocessing.active_children()) - others
        assert len(started) == 2
        streamed.stop_processes()
        assert [process.exitcode for process in started] == [0, 0]


def fail() -> None:
    raise AssertionError("not a thing that happens")


def test_one_that_fails_says_so(capfd):
    process = DecodingContext().Process(target=fail)
    process.start()
    process.join()
    assert process.exitcode == 1
    assert "not a thing that happens" in capfd.readouterr().err


STARTER = """
import time
from multiprocessing import active_children
from pathlib import Path
import torch
from reslab.data import prepared
from reslab.data.batches.order import Order
from reslab.data.batches.streamed import Streamed
if __name__ == "__main__":
    split = prepared.load(Path({prepared!r})).train
    epoch = Streamed(split, Order(24, 8, seed=0), torch.device("cpu"), {workers}).epoch(1)
    next(epoch)
    {then}
"""


def started(work: Path, folder: Path, then: str, workers: int = 2) -> subprocess.Popen:
    """A process with an epoch under way, its temporary files in the folder."""
    script = folder / "start.py"
    script.write_text(STARTER.format(prepared=str(work / "prepared"), workers=workers, then=then))
    (folder / "tmp").symlink_to(tempfile.mkdtemp())  # short: the address of a socket has at most 107 characters
    environment = os.environ | {"TMPDIR": str((folder / "tmp").resolve())}
    return subprocess.Popen([sys.executable, script], cwd=folder, env=environment, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("then", ["list(epoch)", "epoch.close()"], ids=["idle", "abandoned"])
def test_they_end_with_the_process_that_started_them(work, tmp_path, then):
    process = started(work, tmp_path, then)
    _, errors = process.communicate()
    assert (process.returncode, errors) == (0, "")
    assert list((tmp_path / "tmp").iterdir()) == []  # a process that was terminated leaves a socket there


@pytest.mark.parametrize("first", ["list(epoch)", "pass"], ids=["idle", "at work"])
def test_they_end_when_their_parent_is_killed(work, tmp_path, first):
    then = f'{first}; Path("pid").write_text(str(active_children()[0].pid)); time.sleep(600)'
    assert_ends_with(started(work, tmp_path, then, workers=1), tmp_path, seconds=20)  # torch looks every 5
