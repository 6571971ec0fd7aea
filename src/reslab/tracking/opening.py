"""Before MLflow opens its store: one quick try, where MLflow tries for minutes, and a database that is made whole or not at all."""

import contextlib
import logging
import os
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from reslab.errors import UserError, check_plain
from reslab.tracking.address import VARIABLE, database_path, database_uri, is_http, is_in_memory, without_secrets

if TYPE_CHECKING:  # mlflow takes seconds to import
    from mlflow.tracking import MlflowClient

SECONDS = 3  # for a connection; and for a lock of another process to go
PARTS = ("", "-journal", "-wal", "-shm")  # the files of an sqlite database; the last three are those of an unfinished change


def check(uri: str) -> None:
    """Fail within seconds if the store cannot be opened; raises UserError, OSError or the database's own error.

    An sqlite file that is not there yet is made.
    """
    if path := database_path(uri):
        check_parts(path)
        if path.exists() and path.stat().st_size:
            _check_database(path)
        else:
            _make_database(path)
        return
    if is_in_memory(uri):
        raise UserError(
            f"{VARIABLE}={uri}: a database in memory, which is gone when this command ends; name a file, sqlite:///NAME.db"
        )
    try:
        address = urlsplit(uri)
        host, port = address.hostname, address.port
    except ValueError as error:
        raise UserError(f"{VARIABLE}={without_secrets(uri)} is not an address ({error})") from error
    if is_http(uri):
        _connect(*_first_hop(uri, host, port or (443 if address.scheme == "https" else 80)))
    elif host and address.scheme != "file":
        if port:
            _connect(host, port)
        _log_in(uri)


def check_parts(path: Path) -> None:
    """Raise UserError for a pipe in place of a database's files: SQLite would wait for its other end."""
    for part in PARTS:
        check_plain(path.with_name(path.name + part))


def _connect(host: str, port: int) -> None:
    socket.create_connection((host, port), timeout=SECONDS).close()


def _first_hop(uri: str, host: str, port: int) -> tuple[str, int]:
    """Where a request goes first: to a proxy, if the environment names one that is meant for this server."""
    from requests.utils import get_environ_proxies, select_proxy

    if not (proxy := select_proxy(uri, get_environ_proxies(uri))):
        return host, port
    address = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    return address.hostname, address.port or {"https": 443}.get(address.scheme, 80)


def _log_in(uri: str) -> None:
    """Connect to a database server once: MLflow would try ten times."""
    from sqlalchemy import create_engine

    engine = create_engine(uri)
    try:
        engine.connect().close()
    finally:
        engine.dispose()


def _check_database(path: Path) -> None:
    """Raise UserError unless the file is a whole database of MLflow that can be written."""
    try:
        with closing(sqlite3.connect(path, timeout=SECONDS, isolation_level=None)) as database:
            tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            version = database.execute("SELECT version_num FROM alembic_version").fetchall() if "alembic_version" in tables else []
            database.execute("BEGIN IMMEDIATE")
            database.execute(f"CREATE TABLE reslab_{os.getpid()} (it INTEGER)")  # only a change tells of a read-only place
            database.execute("ROLLBACK")
    except sqlite3.OperationalError as error:  # a folder, read-only, locked
        raise UserError(f"{path}: {error}") from error
    except sqlite3.DatabaseError as error:
        raise UserError(f"{path}: damaged ({error}); delete it and run `reslab relog`") from error
    if not version:
        raise UserError(f"{path}: half made, as its creation was cut off; delete it and run `reslab relog`")


def client(uri: str) -> "MlflowClient":
    """A client of MLflow's that keeps quiet: it announces every table it creates, and errors are said by us."""
    from mlflow.tracking import MlflowClient

    logging.getLogger("mlflow").setLevel(logging.CRITICAL)  # after the import, which sets it
    return MlflowClient(tracking_uri=uri)


def _make_database(path: Path) -> None:
    """Make an empty store beside `path` and move it there in one step, unless another process was faster."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft, whole = (path.with_name(f".{path.name}.{os.getpid()}.{part}") for part in ("draft", "whole"))
    with _removed_at_the_end(path):
        client(database_uri(draft)).search_experiments(max_results=1)
        with closing(sqlite3.connect(draft)) as made, closing(sqlite3.connect(whole)) as copy:
            made.backup(copy)  # MLflow keeps its file open
        if path.exists() and not path.stat().st_size:
            path.unlink()
        try:
            path.hardlink_to(whole)
        except FileExistsError:
            return
        except OSError:  # a file system without links
            whole.replace(path)


@contextlib.contextmanager
def _removed_at_the_end(path: Path) -> Iterator[None]:
    """Remove the drafts of this process in the end, and at once those of processes that were killed."""
    _remove_drafts(path)
    try:
        yield
    finally:
        _remove_drafts(path, own=True)


def _remove_drafts(path: Path, *, own: bool = False) -> None:
    import psutil

    for draft in path.parent.iterdir():
        if not draft.name.startswith(f".{path.name}."):
            continue
        pid = draft.name.removeprefix(f".{path.name}.").partition(".")[0]
        if pid.isdecimal() and (int(pid) == os.getpid() if own else not psutil.pid_exists(int(pid))):
            draft.unlink(missing_ok=True)
