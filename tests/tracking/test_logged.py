"""What the project's own store has already is not logged again, and costs no loading of MLflow."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from test_tracking import network

from reslab.tracking import Store, TrainedNetwork
from reslab.tracking.logged import is_logged

LOG_AGAIN = """
import sys
from pathlib import Path
from reslab.tracking import BackgroundLog, TrainedNetwork
with BackgroundLog(Path(sys.argv[1]), "study") as log:
    log.log(TrainedNetwork.read("resnet20", Path(sys.argv[2])))
print("mlflow" in sys.modules, "sqlalchemy" in sys.modules)
"""


@pytest.fixture(scope="module")
def logged(tmp_path_factory) -> tuple[Path, TrainedNetwork]:
    """A project with a network in its store, and the network."""
    root = tmp_path_factory.mktemp("project")
    trained = network(root / "seed0")
    Store(root, "study").log(trained)
    return root, trained


def test_what_is_there_is_found_without_mlflow(logged, tmp_path):
    root, trained = logged
    assert is_logged(root, "study", trained)
    assert not is_logged(root, "another", trained)
    assert not is_logged(root, "study", network(tmp_path / "a", seed=1))
    assert not is_logged(root, "study", network(tmp_path / "b", started=1_700_000_001))
    assert not is_logged(tmp_path, "study", trained)


def test_another_store_is_asked_itself(logged, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{logged[0]}/mlflow.db")
    assert not is_logged(logged[0], "study", logged[1])


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE runs SET lifecycle_stage = 'deleted' WHERE name = 'resnet20-s0'",
        "UPDATE runs SET lifecycle_stage = 'deleted' WHERE name = 'resnet20'",
        "UPDATE experiments SET lifecycle_stage = 'deleted'",
        "UPDATE runs SET status = 'RUNNING' WHERE name = 'resnet20-s0'",
        "DELETE FROM tags WHERE key = 'mlflow.parentRunId'",
        "DROP TABLE runs",
    ],
)
def test_what_was_deleted_or_cut_off_is_logged_anew(logged, tmp_path, change):
    root, trained = logged
    with closing(sqlite3.connect(root / "mlflow.db")) as store, closing(sqlite3.connect(tmp_path / "mlflow.db")) as copy:
        store.backup(copy)
        assert is_logged(tmp_path, "study", trained)
        copy.execute(change)
        copy.commit()
    assert not is_logged(tmp_path, "study", trained)


def test_a_damaged_store_is_left_to_mlflow(logged, tmp_path):
    (tmp_path / "mlflow.db").write_bytes(b"SQLite format 3\0" + bytes(4096))
    assert not is_logged(tmp_path, "study", logged[1])


def test_logging_again_loads_no_mlflow(logged):
    root, trained = logged
    done = subprocess.run([sys.executable, "-c", LOG_AGAIN, root, trained.folder], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("False False\n", "")


def test_a_pipe_beside_the_store_is_not_waited_for(logged):
    os.mkfifo(pipe := logged[0] / "mlflow.db-journal")
    try:
        assert not is_logged(logged[0], "study", logged[1])
    finally:
        pipe.unlink()
