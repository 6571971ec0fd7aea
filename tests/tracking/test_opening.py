"""A store that cannot be opened, is half made, deleted, silent, or in an odd place: said once, at once, without passwords."""

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest
import small_disk
from filelock import FileLock
from mlflow.tracking import MlflowClient
from project import free_port
from test_live import LIVE, ended
from test_tracking import network

from reslab.errors import UserError
from reslab.runs.reports import Began
from reslab.tracking import BackgroundLog, Store, attempt, mlflow_store, opening, patience, tracking_uri
from reslab.tracking.address import without_secrets

ODD = "a b#c?d%41e"


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """A project in an odd folder; its store is made once."""
    folder = tmp_path_factory.mktemp("root") / ODD
    folder.mkdir()
    return folder


def test_a_relative_address_counts_from_the_project_whatever_it_is_called(root, tmp_path, monkeypatch):
    workspace = root / ".dvc" / "tmp" / "exps" / "x"
    workspace.mkdir(parents=True)
    monkeypatch.chdir(workspace)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mine.db")
    run_id = Store(root, "odd").log(network(tmp_path / "a"))
    assert (root / "mine.db").stat().st_size
    assert list(workspace.iterdir()) == []
    assert sorted(path.name for path in root.iterdir()) == [".dvc", ".mlflow.lock", "mine.db", "mlartifacts"]
    assert sorted(path.name for path in root.parent.iterdir()) == [ODD]
    assert {file.path for file in MlflowClient(tracking_uri(root)).list_artifacts(run_id)} == {"record.json", "history.csv"}
    assert list((root / "mlartifacts" / "odd").rglob("record.json"))


def test_a_deleted_experiment_is_restored_and_said(root, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(root)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mine.db")
    store = Store(root, "deleted")
    logged = store.log(network(tmp_path / "a"))
    store.client.delete_experiment(store.experiment_id)
    assert Store(root, "deleted").log(network(tmp_path / "a")) == logged
    assert "MLflow's experiment deleted had been deleted; it is restored" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("", "sqlite:////r/mlflow.db"),
        ("sqlite:///mine.db", "sqlite:////r/mine.db"),
        ("sqlite:///sub/mine.db", "sqlite:////r/sub/mine.db"),
        ("sqlite:////other/mine.db", "sqlite:////other/mine.db"),
        ("sqlite:///a b#c.db", "sqlite:////r/a b#c.db"),
        ("sqlite:///mine.db?timeout=5", "sqlite:////r/mine.db?timeout=5"),
        ("sqlite:///:memory:", "sqlite:///:memory:"),
        ("mlruns", "file:///r/mlruns"),
        ("./a b", "file:///r/a%20b"),
        ("file:mlruns", "file:///r/mlruns"),
        ("file:///other", "file:///other"),
        ("http://server:5000", "http://server:5000"),
        ("postgresql+psycopg2://u:p@server/db", "postgresql+psycopg2://u:p@server/db"),
        ("databricks", "databricks"),
    ],
)
def test_what_an_address_means(monkeypatch, given, meant):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", given)
    assert tracking_uri(Path("/r")) == meant


@pytest.mark.parametrize("address", ["sqlite://", "sqlite:///", "sqlite:///:memory:"])
def test_a_store_in_memory_is_refused(tmp_path, monkeypatch, address):
    """What is logged there is lost without a word."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    with pytest.raises(UserError, match="a database in memory, which is gone when this command ends; name a file"):
        Store(tmp_path, "lost")


def half_made(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE experiments (experiment_id INTEGER)")
        database.execute("CREATE TABLE alembic_version (version_num VARCHAR(32))")
        database.commit()


BROKEN = {
    "is a folder": (lambda path: path.mkdir(), "unable to open"),
    "is a pipe": (os.mkfifo, "is a pipe, a socket or a device"),
    "is something else": (lambda path: path.write_text("text " * 1000), "damaged .file is not a database.; delete it"),
    "was cut off while it was made": (half_made, "half made, .* delete it and run `reslab relog`"),
}


@pytest.mark.parametrize("make", BROKEN)
def test_a_database_that_cannot_be_opened_is_said_at_once(tmp_path, capfd, make):
    break_it, text = BROKEN[make]
    break_it(tmp_path / "mlflow.db")
    with pytest.raises(UserError, match=text):
        Store(tmp_path, "broken")
    assert not attempt(lambda: Store(tmp_path, "broken"), "a-s0")
    (line,) = capfd.readouterr().err.splitlines()  # none of MLflow's about a next try
    assert line.startswith(f"warning: a-s0 not logged to MLflow ({tmp_path}/mlflow.db: ")


@pytest.mark.parametrize("part", ["-journal", "-wal", "-shm"])
def test_a_pipe_beside_the_database_is_not_waited_for(tmp_path, part):
    half_made(tmp_path / "mlflow.db")
    os.mkfifo(tmp_path / f"mlflow.db{part}")
    with pytest.raises(UserError, match=rf"mlflow\.db{part}: is a pipe, a socket or a device"):
        Store(tmp_path, "piped")


def test_a_read_only_database_is_said(tmp_path):
    half_made(tmp_path / "made.db")
    with closing(sqlite3.connect(tmp_path / "made.db")) as database:
        database.execute("INSERT INTO alembic_version VALUES ('1')")
        database.commit()
    (tmp_path / "disk").mkdir()
    code = "from reslab import errors\nfrom reslab.tracking import opening\nerrors.guard(lambda: opening.check('sqlite:///disk/made.db'))"
    read_only = 'cp made.db "$1" && mount -o remount,ro "$1"'
    done = small_disk.run(code, tmp_path, disk=tmp_path / "disk", prepare=read_only)
    assert done.stderr == f"error: {tmp_path}/disk/made.db: attempt to write a readonly database\n"


def test_a_locked_database_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(opening, "SECONDS", 0.1)
    with closing(sqlite3.connect(tmp_path / "mlflow.db", isolation_level=None)) as other:
        other.execute("CREATE TABLE alembic_version (version_num VARCHAR(32))")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(UserError, match=r"mlflow\.db: database is locked"):
            Store(tmp_path, "locked")


def test_a_lock_that_is_not_given_back_is_not_waited_for(root, monkeypatch):
    """A database that is there needs no minute: nobody makes it."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mine.db")
    monkeypatch.setattr(mlflow_store, "SECONDS_FOR_THE_OTHERS", 0.1)
    monkeypatch.setattr(mlflow_store, "SECONDS_FOR_A_MAKER", 600)
    monkeypatch.chdir(root)
    Store(root, "locked")
    with FileLock(root / ".mlflow.lock", is_singleton=False), pytest.raises(TimeoutError, match=r"\.mlflow\.lock"):
        Store(root, "locked")


def test_who_is_killed_while_it_makes_the_database_leaves_none(tmp_path):
    code = f"from pathlib import Path; from reslab.tracking import Store; Store(Path({str(tmp_path)!r}), 'killed')"
    process = subprocess.Popen([sys.executable, "-c", code])
    while not (drafts := list(tmp_path.glob(".mlflow.db.*.draft"))) or not drafts[0].stat().st_size:
        time.sleep(0.01)
        assert process.poll() is None
    process.kill()
    process.wait()
    assert not (tmp_path / "mlflow.db").exists()
    assert Store(tmp_path, "killed").experiment_id
    assert [path.name for path in tmp_path.glob(".mlflow.db*")] == []


def test_a_full_disk_leaves_no_half_made_database(tmp_path):
    code = "import os; from pathlib import Path; from reslab.tracking import Store, attempt\n"
    code += "attempt(lambda: Store(Path('small').resolve(), 'full'), 'a-s0'); print(sorted(os.listdir('small')))"
    (tmp_path / "small").mkdir()
    done = small_disk.run(code, tmp_path, disk=tmp_path / "small", size="300k")
    assert done.stderr.splitlines()[-1].startswith("warning: a-s0 not logged to MLflow ("), done.stderr
    assert "full" in done.stderr.splitlines()[-1]
    assert done.stdout == "['.mlflow.lock']\n"


@pytest.fixture
def silent():
    """The address of a server that takes connections and never answers, and the connections."""
    taken: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def take() -> None:
            while True:
                try:
                    taken.append(server.accept()[0])
                except OSError:
                    return

        threading.Thread(target=take, daemon=True).start()
        yield f"http://user:pass%24word@127.0.0.1:{server.getsockname()[1]}", taken
        server.shutdown(socket.SHUT_RDWR)


def test_a_server_that_does_not_answer_is_asked_once_for_all_networks(tmp_path, monkeypatch, capsys, silent):
    address, taken = silent
    monkeypatch.setattr(patience, "SECONDS", 1.0)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    with BackgroundLog(tmp_path, "silent") as log:
        for seed in (0, 1):
            log.update(Began("resnet20", LIVE | {"seed": seed}, []))
            for epoch in range(1, 6):  # each returns at once
                log.update(ended(seed, epoch))
        for seed in (0, 1):
            log.log(network(tmp_path / f"s{seed}", seed=seed))
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "warning: resnet20-s0, resnet20-s1 not logged to MLflow (no answer for 1 s); `reslab relog` will log it"
    assert len(taken) <= 2  # a look whether it is there, and one request


def test_a_place_for_files_that_does_not_answer_is_given_up(root, tmp_path, monkeypatch, capsys, silent):
    """The database is a file here, and what it says of the files leads to a server."""
    monkeypatch.chdir(root)
    monkeypatch.setattr(patience, "SECONDS", 0.5)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mine.db")
    store = Store(root, "far")
    store.client.create_experiment("farther", silent[0].replace("http", "ftp"))
    assert not attempt(lambda: Store(root, "farther").log(network(tmp_path / "a")), "a-s0")
    assert "a-s0 not logged to MLflow (no answer for 0 s)" in capsys.readouterr().err


def test_a_database_that_another_program_goes_on_reading_is_given_up(root, tmp_path, monkeypatch, capsys):
    """MLflow would wait for 20 seconds, at each change."""
    monkeypatch.chdir(root)
    monkeypatch.setattr(patience, "SECONDS", 0.5)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mine.db")
    store = Store(root, "read")
    with closing(sqlite3.connect(root / "mine.db", isolation_level=None)) as other:
        other.execute("BEGIN")
        other.execute("SELECT * FROM experiments").fetchall()
        assert not attempt(lambda: store.log(network(tmp_path / "a")), "a-s0")
    assert "a-s0 not logged to MLflow (no answer for 0 s)" in capsys.readouterr().err


def test_requests_go_through_the_proxy_that_is_named(monkeypatch, silent):
    address, taken = silent
    for name in ("http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(OSError):
        opening.check("http://no-such-host.invalid:5000")
    monkeypatch.setenv("http_proxy", address)
    opening.check("http://no-such-host.invalid:5000")
    monkeypatch.setenv("no_proxy", "no-such-host.invalid")
    with pytest.raises(OSError):
        opening.check("http://no-such-host.invalid:5000")
    assert len(taken) <= 1


@pytest.mark.parametrize(
    ("uri", "secrets"),
    [
        ("http://me:pass%24word@127.0.0.1:{port}", ["pass%24word", "pass$word"]),
        ("http://me:p@ss/w?rd@127.0.0.1:{port}", ["p@ss", "w?rd"]),
        ("postgresql://me:hunter2@127.0.0.1:{port}/db", ["hunter2"]),
        ("postgresql://127.0.0.1:{port}/db?user=me&password=hunter2", ["hunter2"]),
        ("mysql+nosuchdriver://me:hunter2@127.0.0.1/db", ["hunter2"]),
        ("http://me:hunter2@127.0.0.1:notaport", ["hunter2"]),
    ],
)
def test_no_password_is_printed(tmp_path, monkeypatch, capfd, uri, secrets):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri.format(port=free_port()))
    assert not attempt(lambda: Store(tmp_path, "secret"), "a-s0")
    said = capfd.readouterr().err + without_secrets(os.environ["MLFLOW_TRACKING_URI"])
    assert said.startswith("warning: a-s0 not logged to MLflow (")
    for secret in secrets:
        assert secret not in said


def test_a_stop_while_a_server_is_silent_is_heeded(tmp_path, silent):
    address, _ = silent
    code = "from pathlib import Path; from reslab import errors; from reslab.tracking import Store, attempt\n"
    code += "errors.run(lambda: attempt(lambda: Store(Path('.').resolve(), 'x'), 'a-s0'))"
    environment = os.environ | {"MLFLOW_TRACKING_URI": address, "MLFLOW_HTTP_REQUEST_TIMEOUT": "600"}
    process = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True)
    while not (tmp_path / ".mlflow.lock").exists():
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert said.startswith("stopped by SIGTERM: ")
