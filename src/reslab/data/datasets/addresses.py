"""Where `dataset.source` leads: a path, a file:// address, or an archive on the web."""

import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from reslab.data.datasets.archives import locate
from reslab.errors import UserError, cut, first_line, shown

WEB = ("http", "https", "ftp")
TIMEOUT = 60  # seconds without a byte


def is_url(source: str) -> bool:
    """Whether `dataset.source` is an address on the web and not a path; raises UserError for one of another kind."""
    if "://" not in source:
        return False
    try:
        urlsplit(source)
    except ValueError as error:
        raise UserError(f"dataset.source: {shown(source)} is no address ({first_line(error)})") from error
    scheme = urlsplit(source).scheme.lower()
    if scheme not in (*WEB, "file"):
        raise UserError(f"dataset.source: addresses of kind {scheme!r} are not read; allowed: a path, {', '.join(WEB)} or file")
    return scheme != "file"


def local_path(source: str) -> Path:
    """The path that a path or a file:// address names; raises UserError for an address on another machine."""
    if "://" not in source:
        return locate(source)
    parts = urlsplit(source)
    if parts.netloc not in ("", "localhost"):
        raise UserError(f"dataset.source: {named(source)} is on another machine; give file:///path, with three strokes")
    return locate(unquote(parts.path))


def named(url: str) -> str:
    """An address as messages show it: without password and query, which may be secrets."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


@contextmanager
def local_copy(source: str, folder: Path) -> Iterator[Path]:
    """The path behind `dataset.source`, on this machine; a download lies in a hidden folder of `folder` until the end."""
    if not is_url(source):
        yield local_path(source)
        return
    existed, place = folder.exists(), folder / ".download"
    shutil.rmtree(place, ignore_errors=True)  # of a fetch that was killed
    place.mkdir(parents=True)
    try:
        yield _download(source, place)
    finally:
        shutil.rmtree(place, ignore_errors=True)
        if not existed and not any(folder.iterdir()):
            folder.rmdir()


def _quoted(url: str) -> str:
    """An address with its spaces and foreign letters as %xx, as a browser sends it."""
    parts = urlsplit(url)
    path, query = (quote(text, safe="%/:?@!$&'()*+,;=~-._") for text in (parts.path, parts.query))
    return urlunsplit(parts._replace(path=path, query=query, fragment=""))


def _download(url: str, folder: Path) -> Path:
    if "@" in urlsplit(url).netloc:
        raise UserError(f"{named(url)}: addresses with a password are not read; download the archive yourself and give its path")
    target = folder / (PurePosixPath(unquote(urlsplit(url).path)).name or "download")
    request = urllib.request.Request(_quoted(url), headers={"User-Agent": "reslab"})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer, target.open("wb") as file:
            shutil.copyfileobj(answer, file, 2**20)
            expected = answer.headers.get("Content-Length")
    except (urllib.error.URLError, HTTPException, TimeoutError, ConnectionError, ValueError) as error:
        raise UserError(f"{named(url)}: download failed ({first_line(error)})") from error
    if expected is not None and expected.isdecimal() and expected != str(target.stat().st_size):
        raise UserError(f"{named(url)}: download ended after {target.stat().st_size:,} of {cut(expected)} bytes; try again")
    return target
