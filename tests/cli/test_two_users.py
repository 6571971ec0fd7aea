"""Two users of one clone: who comes second waits for DVC, and writes where the first has written, if the group may."""

import fcntl
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from reslab.cli import train

USERS, GROUP = (65533, 65534), 65534  # two numbers that nobody has need of
RIGHTS = "-all,+dac_read_search"  # to read, wherever Python and the test's folder lie, but not to write what is another's
WRITES = """
import sys
from pathlib import Path
from reslab.grid.networks import LOG, SUBMITTED, Network
from reslab.runs.jobs import Job
network = Network(Job("plain", {}, "abc", 0, Path(), {}, 1))
assert not network.training_here()
with network.folder.locked():
    network.tell(SUBMITTED, {"name": "one", "user": sys.argv[1]})
    network.folder.first_start()
    (network.folder.start_draft() / "record.json").write_text(sys.argv[1])
with (network.folder.path / LOG).open("a") as log:
    log.write(sys.argv[1])
"""


def test_who_comes_second_waits_until_the_first_has_described(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    asked = []
    monkeypatch.setattr(train.children, "run", lambda command, **_: asked.append(command))
    (tmp_path / "checkpoints").mkdir()
    first = os.open(tmp_path / "checkpoints" / ".describing.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(first, fcntl.LOCK_EX)
    threading.Timer(0.2, os.close, [first]).start()
    train.describe()
    assert "another `reslab train` describes the experiments; waiting for it" in capsys.readouterr().err
    train.describe()
    assert asked == [["dvc", "repro", "describe"]] * 2


def as_user(number: int, folder: Path, umask: int) -> subprocess.CompletedProcess:
    identity = ["--reuid", str(number), "--regid", str(GROUP), "--clear-groups"]
    rights = [f"--{kind}={RIGHTS}" for kind in ("inh-caps", "ambient-caps", "bounding-set")]
    paths = {"PYTHONPATH": os.pathsep.join(sys.path), "DVC_ROOT": str(folder), "HOME": str(folder)}
    command = ["setpriv", *identity, *rights, "--", sys.executable, "-c", WRITES, str(number)]
    return subprocess.run(command, cwd=folder, env=os.environ | paths, umask=umask, capture_output=True, text=True, check=False)


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("setpriv") is None, reason="only root can be two users, by setpriv")
@pytest.mark.parametrize(("umask", "allowed"), [(0o002, True), (0o022, False)], ids=["the group may", "only the first may"])
def test_a_second_user_writes_in_the_folder_of_a_network(umask, allowed):
    with TemporaryDirectory() as folder:  # pytest's are for root alone
        os.chown(folder, -1, GROUP)
        Path(folder).chmod(0o2775)
        first, second = (as_user(number, Path(folder), umask) for number in USERS)
    assert first.returncode == 0, first.stderr
    assert (second.returncode == 0) == allowed, second.stderr
    if not allowed:
        assert "PermissionError" in second.stderr
        assert f"{folder}/checkpoints/abc/seed0" in second.stderr
