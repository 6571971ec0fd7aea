"""A tar's entries and contents, plain or compressed, read from front to end; nothing is extracted to disk."""

import posixpath
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, NoReturn

from reslab.data.datasets.entries import Entry, checked_name
from reslab.errors import UserError, shown

MAX_HEADER_BYTES = 2**20  # of a long name or of extended attributes: they are read into memory
MAX_RATIO, ALWAYS_ALLOWED = 1100, 32 * 2**20  # honest images are never packed that small; deflate at best to 1 : 1032
Member = tarfile.TarInfo
LONG_HEADERS = (
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
)


def may_unpack_to(packed: int) -> int:
    """The most bytes that an archive of `packed` bytes is allowed to become."""
    return packed * MAX_RATIO + ALWAYS_ALLOWED


class _StrictHeader(tarfile.TarInfo):
    """A header that must be whole and honest.

    tarfile itself takes a damaged one, or a missing end mark, for the end of the archive, follows a negative size backwards for
    ever, and reads maps of sparse files into memory whatever their length.
    """

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> tarfile.TarInfo:
        try:
            return super().fromtarfile(archive)
        except tarfile.EOFHeaderError:
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(str(error)) from error

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        if self.size < 0 or (self.type in LONG_HEADERS and self.size > MAX_HEADER_BYTES):
            raise tarfile.ReadError(f"a header of {self.size} bytes")
        return super()._proc_member(archive)

    def _refuse_sparse(self, following: object, *_: object) -> NoReturn:
        name = following.name if isinstance(following, tarfile.TarInfo) else self.name
        raise UserError(f"member {shown(name)} is a sparse file; pack it again without --sparse")

    _proc_sparse = _proc_gnusparse_00 = _proc_gnusparse_01 = _proc_gnusparse_10 = _refuse_sparse


def entries(source: Path) -> Iterator[Entry]:
    """Every member in order, to the archive's last byte; raises UserError for names that lead out, sparse files and bombs."""
    for member, _ in _members(source):
        if member.issym() or member.islnk():
            yield Entry(checked_name(member.name), "link", target=_target(member))
        elif member.isdir():
            yield Entry(checked_name(member.name), "folder")
        else:
            problem = "" if member.isfile() else "is not a plain file but a pipe, a socket or a device"
            yield Entry(checked_name(member.name), size=member.size, problem=problem)


def contents(source: Path, wanted: Mapping[int, Entry]) -> Iterator[tuple[int, bytes]]:
    """Number and content of the wanted members, in the archive's order."""
    last = max(wanted, default=-1)
    for number, (member, archive) in enumerate(_members(source)):
        if number in wanted:
            yield number, archive.extractfile(member).read()
        if number >= last:  # the rest was read for `entries`
            return


def _members(source: Path) -> Iterator[tuple[Member, tarfile.TarFile]]:
    with source.open("rb") as file:
        yield from members(file, source.stat().st_size)


def members(file: IO[bytes], size: int) -> Iterator[tuple[Member, tarfile.TarFile]]:
    """Every member of an open tar of `size` bytes, to its last byte, and the archive to read it from; UserError for a bomb."""
    most, end = may_unpack_to(size), 0
    with tarfile.open(fileobj=file, mode="r:*", tarinfo=_StrictHeader, encoding="utf-8", errors="surrogateescape") as archive:
        for member in archive:
            if archive.offset <= end:
                raise tarfile.ReadError("a member that ends before it begins")
            end = archive.offset
            check_end(end, most)  # before tarfile reads on to there
            yield member, archive
            archive.members.clear()  # a million of them would fill the memory
        while piece := archive.fileobj.read(2**20):  # to the very end, where gzip and xz keep their checksum
            end += len(piece)
            check_end(end, most)
            if piece.count(0) < len(piece):  # several tars in one file, of which the first would be taken
                raise UserError("goes on after its end: put the files of all parts into one archive, or cut off what follows")


def check_end(end: int, most: int) -> None:
    """Raise UserError for an archive that unpacks to more than `most` bytes."""
    if end > most:
        raise UserError(f"unpacks to over {most:,} bytes, {MAX_RATIO:,} times what it is packed in; refused")


def _target(link: tarfile.TarInfo) -> str | None:
    """Where a link leads, from the archive's root: a hard link's name counts from there, a symbolic one's from its own folder."""
    start = posixpath.dirname(link.name) if link.issym() else ""
    return inside(posixpath.join(start, link.linkname))


def inside(path: str) -> str | None:
    """A path without . and .. in it, or None if it leads out of the archive."""
    found = posixpath.normpath(path)
    return None if found.startswith("/") or found.split("/")[0] == ".." else found
