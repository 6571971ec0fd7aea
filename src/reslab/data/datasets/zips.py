"""A zip's entries and contents; nothing is extracted to disk."""

import posixpath
import struct
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from reslab.data.datasets.entries import Entry, checked_name
from reslab.data.datasets.tars import inside
from reslab.errors import UserError, cut

ENCRYPTED, PATCHED, UTF8_NAME = 0x41, 0x20, 0x800  # bits of a member's flags
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # zipfile reads bzip2 and lzma without a limit to the memory
MAX_TARGET_BYTES = 4096
LONGEST_END = 22 + 0xFFFF  # bytes of the record at a zip's end, with its comment
LARGE_END = 56 + 20  # of the two before it in a large archive
MEMBER = b"PK\3\4"
BESIDE = 14  # bytes of a member's own header before its checksum and sizes


def entries(source: Path) -> Iterator[Entry]:
    """Every member in the order of the directory; raises UserError for names that lead out and versions that are not known."""
    with _opened(source) as archive:
        _check_count(source, len(archive.infolist()))
        _check_first(source, archive)
        for member in archive.infolist():
            name, unix, problem = _name(member), member.external_attr >> 16, _problem(member)
            if not problem:
                archive.open(member).close()  # compares the name in the directory with the one beside the content
                _compare(archive, member)
            if name.endswith("/"):
                yield Entry(checked_name(name), "folder")
            elif unix & 0o170000 == 0o120000:
                yield Entry(checked_name(name), "link", target=_target(archive, member, name))
            else:
                yield Entry(checked_name(name), size=member.file_size, problem=problem)


def contents(source: Path, wanted: Mapping[int, Entry]) -> Iterator[tuple[int, bytes]]:
    """Number and content of the wanted members, in the order of the directory."""
    with _opened(source) as archive:
        members = archive.infolist()
        for number in sorted(wanted):
            yield number, _read(archive, members[number])


def _opened(source: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(source)
    except NotImplementedError as error:
        raise UserError(f"a form of zip that is not read here ({error}); pack it again as .zip or .tar") from error


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    with archive.open(member) as file:
        content = file.read(member.file_size + 1)  # one more: at the end zipfile compares the checksum
    if len(content) != member.file_size:
        raise zipfile.BadZipFile(f"a member of {len(content)} bytes that should have {member.file_size}")
    return content


def _name(member: zipfile.ZipInfo) -> str:
    """A member's name: UTF-8 where its bytes are, also unmarked as some programs leave it; faulty backslashes as /."""
    name = member.orig_filename.split("\0")[0]
    if not member.flag_bits & UTF8_NAME:
        with suppress(UnicodeError):  # else cp437, as the format has it
            name = name.encode("cp437").decode("utf-8")
    return name.replace("\\", "/")


def _problem(member: zipfile.ZipInfo) -> str:
    if member.flag_bits & ENCRYPTED:
        return "is encrypted; unpack it with its password and pack it again without one"
    if member.flag_bits & PATCHED:
        return "holds patches of another file; pack it again"
    if member.compress_type not in METHODS:
        method = zipfile.compressor_names.get(member.compress_type, "unknown")
        return f"is packed by method {member.compress_type} ({method}); pack it again with the usual deflate"
    return ""


def _check_count(source: Path, found: int) -> None:
    """Raise BadZipFile if the end of the zip counts other members: a damaged length can swallow the entry that follows."""
    with source.open("rb") as file:
        file.seek(max(0, source.stat().st_size - LONGEST_END - LARGE_END))
        tail = file.read()
    end = tail.rfind(b"PK\5\6")
    (counted,) = struct.unpack_from("<H", tail, end + 10)
    large = tail[max(0, end - LARGE_END) : end]  # of an archive with more members than fit into two bytes
    if counted == 0xFFFF and large.startswith(b"PK\6\6"):
        (counted,) = struct.unpack_from("<Q", large, 32)
    if counted not in (found, found & 0xFFFF):  # programs that know no large archives write the last two bytes
        raise zipfile.BadZipFile(f"{found} members where {counted} are counted")


def _check_first(source: Path, archive: zipfile.ZipFile) -> None:
    """Raise UserError if another zip stands before this one, joined to it: its members are in no directory that is read."""
    with source.open("rb") as file:
        joined = file.read(len(MEMBER)) == MEMBER and min((one.header_offset for one in archive.infolist()), default=1) > 0
    if joined:
        raise UserError("several zips in one file, or its first members are in no directory; unpack them and pack them as one")


def _compare(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    """Raise BadZipFile if checksum or sizes beside the content are others than in the directory, which has no checksum itself.

    Who packs as a stream writes zeros there, and for large files all ones.
    """
    archive.fp.seek(member.header_offset + BESIDE)
    beside = struct.unpack("<3L", archive.fp.read(12))
    for value, listed in zip(beside, (member.CRC, member.compress_size, member.file_size), strict=True):
        if value not in (0, 0xFFFFFFFF, listed):
            raise zipfile.BadZipFile(f"{cut(member.filename)} is not what the directory says")


def _target(archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str) -> str | None:
    """Where a link leads, which is its content; out of the archive if it cannot be read."""
    if _problem(member) or member.file_size > MAX_TARGET_BYTES:
        return None
    target = _read(archive, member)
    if min(target, default=0) < ord(" "):  # in no sane path: the directory has no checksum, its mark of a link may be damage
        raise zipfile.BadZipFile(f"{cut(name)} is marked as a link, and holds no path")
    return inside(posixpath.join(posixpath.dirname(name), target.decode("utf-8", "surrogateescape")))
