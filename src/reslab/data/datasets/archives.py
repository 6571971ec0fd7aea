"""A folder, a tar or a zip as a source of files: first what is in it, then what is wanted of it; nothing is extracted to disk."""

import io
import os
import tarfile
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import ModuleType

from reslab.data.datasets import folders, tars, zips
from reslab.data.datasets.entries import Entry
from reslab.data.datasets.links import Tree, follow
from reslab.environment import in_home
from reslab.errors import UserError, cut, first_line, located, shown

MAX_MEMBER_BYTES = 256 * 2**20  # a CIFAR batch is 31 MB, CIFAR-100 155 MB, an image far less: what is larger is a bomb or a mistake
MAX_TOTAL_BYTES = 256 * 2**30
MAX_NAME_BYTES = 1000  # every row of an index is as long as the longest name
BREAKING = ("Cc", "Zl", "Zp")  # kinds of characters that end a line or control a terminal
TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")  # what follows is shown in another order
LONG_PATH = 200  # characters of a source's path in a message
ARCHIVE_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2", ".zip")
ZIP_STARTS = (b"PK\x03\x04", b"PK\x05\x06")
COMPRESSED_STARTS = (b"\x1f\x8b", b"\xfd7zXZ\x00", b"BZh")
OTHER_STARTS = {b"7z\xbc\xaf\x27\x1c": "7-Zip", b"Rar!\x1a\x07": "RAR", b"\x28\xb5\x2f\xfd": "Zstandard", b"\x1f\x9d": "compress"}
TAR_MARK = 257  # where a tar's first header says ustar


@dataclass(frozen=True)
class Source:
    """A folder or an archive that was looked into."""

    path: Path
    reader: ModuleType  # folders, tars or zips
    entries: list[Entry]
    tree: Tree

    def contents(self, names: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """Name and content of files of the tree, in the order of the source.

        Raises UserError, before anything is read, for a file that cannot be read (encrypted, a pipe), a name that is not UTF-8, and
        sizes over MAX_MEMBER_BYTES or MAX_TOTAL_BYTES; later for damage.
        """
        wanted: dict[int, list[str]] = {}
        for name in names:
            wanted.setdefault(self.tree.files[name], []).append(name)
        with reading(self.path):
            self._check(wanted)
            for number, content in self.reader.contents(self.path, {number: self.entries[number] for number in wanted}):
                for name in wanted[number]:
                    yield name, content

    def _check(self, wanted: dict[int, list[str]]) -> None:
        total = 0
        for number, names in wanted.items():
            entry, name = self.entries[number], names[0]
            if entry.problem:
                raise UserError(f"{shown(name)} {entry.problem}")
            for each in names:
                _check_name(each)
            if entry.size > MAX_MEMBER_BYTES:
                raise UserError(f"{shown(name)} is {entry.size:,} bytes unpacked, over the limit of {MAX_MEMBER_BYTES:,}")
            total += entry.size * len(names)
        if total > MAX_TOTAL_BYTES:
            raise UserError(f"over {MAX_TOTAL_BYTES:,} bytes unpacked; refused")
        if self.reader is not folders:
            tars.check_end(sum(self.entries[number].size for number in wanted), tars.may_unpack_to(self.path.stat().st_size))


def locate(source: str) -> Path:
    """The path behind `dataset.source`; a relative one counts from the main checkout, also in DVC's temporary workspaces."""
    return Path(os.environ.get("DVC_ROOT", "."), in_home(Path(source)))


def look_into(path: Path) -> Source:
    """What a folder or a .tar, .tar.gz, .tar.xz, .tar.bz2 or .zip holds, with links followed; no content is kept.

    An archive is read to its end. Raises UserError, naming the source and the member, for a missing source, a damaged or truncated
    archive, a member whose path leaves the archive, a link that is not allowed, a sparse file, and what unpacks to far too much.
    """
    with reading(path):
        reader = _reader(path)
        entries = list(reader.entries(path))
        return Source(path, reader, entries, follow(entries))


def _reader(path: Path) -> ModuleType:
    """What reads it, by content; an archive that begins with something else by its name."""
    if path.is_dir():
        return folders
    if not path.exists():
        raise UserError("no such file or folder")
    start = b""
    if path.is_file():  # opening a pipe would wait for its other end
        with path.open("rb") as file:
            start = file.read(TAR_MARK + 5)
    suffixed = path.is_file() and path.name.lower().endswith(ARCHIVE_SUFFIXES)
    if (form := next((form for mark, form in OTHER_STARTS.items() if start.startswith(mark)), None)) is not None:
        raise UserError(f"a {form} archive, which is not read here whatever its name; unpack it and pack it again as .zip or .tar")
    if start.startswith(COMPRESSED_STARTS) or start[TAR_MARK:] == b"ustar":
        return tars
    if start.startswith(ZIP_STARTS) or (suffixed and path.suffix.lower() == ".zip"):
        return zips
    if suffixed:
        return tars
    raise UserError(f"not a folder or an archive ({', '.join(ARCHIVE_SUFFIXES)})")


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Whatever a reader stumbles upon in outside data as a UserError with the source's path."""
    with located(path if len(str(path)) <= LONG_PATH else cut(str(path))):
        try:
            yield
        except UserError:
            raise
        except OSError as error:
            if error.errno is not None:  # the system's, not the archive's
                raise UserError(f"cannot be read ({error.strerror})") from error
            raise UserError(_damaged(error)) from error
        except Exception as error:  # over damaged bytes tarfile and zipfile raise a dozen kinds
            raise UserError(_damaged(error)) from error


def _damaged(error: Exception) -> str:
    return f"damaged or truncated archive ({first_line(error).rstrip(':')}); fetch it again"


def _check_name(name: str) -> None:
    try:
        length = len(name.encode())
    except UnicodeEncodeError:
        raise UserError(f"the name of {shown(name)} is not UTF-8; rename it") from None
    if any(letter in TURNING or unicodedata.category(letter) in BREAKING for letter in name):
        raise UserError(f"the name of {shown(name)} has a line break or another control character; rename it")
    if length > MAX_NAME_BYTES:
        raise UserError(f"the name of {shown(name)} is over {MAX_NAME_BYTES:,} bytes long; rename it")


@contextmanager
def repack(contents: Iterable[tuple[str, bytes]], target: Path) -> Iterator[None]:
    """Write files one by one into an uncompressed tar, without dates or owners, and let the caller check what was read.

    The tar appears only once all files were read and the checks passed: after an error nothing is left behind.
    """
    existed = target.parent.exists()
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}")
    try:
        with tarfile.open(draft, "w", format=tarfile.PAX_FORMAT, encoding="utf-8") as archive:
            for name, content in contents:
                member = tarfile.TarInfo(str(PurePosixPath(name)))
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
                archive.members.clear()
        yield
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
        if not existed and not target.exists():
            target.parent.rmdir()
