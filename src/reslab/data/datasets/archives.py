"""Reading a folder, a tar or a zip as one stream of (name, bytes): nothing is ever extracted to disk."""

import gzip
import io
import lzma
import os
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from reslab.errors import UserError

Member = tuple[PurePosixPath, int, Callable[[], bytes]]  # name, unpacked size, how to read it

MAX_MEMBER_BYTES = 512 * 2**20  # a CIFAR batch is 31 MB, an image is far less: anything larger is a bomb or a mistake
MAX_TOTAL_BYTES = 256 * 2**30
ARCHIVE_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2", ".zip")
DAMAGE = (tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, EOFError, lzma.LZMAError, zlib.error)


def is_url(source: str) -> bool:
    """Whether `dataset.source` is an address and not a path."""
    return "://" in source


def locate(source: str) -> Path:
    """The path behind `dataset.source`; a relative one counts from the main checkout, also in DVC's temporary workspaces."""
    return Path(os.environ.get("DVC_ROOT", "."), Path(source).expanduser())


def is_archive(path: Path) -> bool:
    """Whether the file's name ends like an archive that `members` reads."""
    return path.name.lower().endswith(ARCHIVE_SUFFIXES)


def members(source: Path) -> Iterator[tuple[PurePosixPath, bytes]]:
    """Yield every regular file below a folder or inside a .tar, .tar.gz, .tar.xz, .tar.bz2 or .zip.

    Raises UserError, naming the source and the member, for a missing source, a damaged or truncated archive, a member whose
    path leaves the archive, a link, and sizes over MAX_MEMBER_BYTES or MAX_TOTAL_BYTES.
    """
    if source.is_dir():
        reader = _folder_members(source)
    elif not source.exists():
        raise UserError(f"{source}: no such file or folder")
    elif not is_archive(source):
        raise UserError(f"{source}: not a folder or an archive ({', '.join(ARCHIVE_SUFFIXES)})")
    else:
        reader = _zip_members(source) if source.suffix.lower() == ".zip" else _tar_members(source)
    total = 0
    try:
        for name, size, open_member in reader:
            total += size
            _check_member(source, name, size, total)
            if not _is_clutter(name):
                yield name, open_member()
    except DAMAGE as error:
        raise UserError(f"{source}: damaged or truncated archive ({error or type(error).__name__}); fetch it again") from error


def _folder_members(source: Path) -> Iterator[Member]:
    for path in sorted(source.rglob("*")):
        if path.is_file():
            yield PurePosixPath(path.relative_to(source).as_posix()), path.stat().st_size, path.read_bytes


class _StrictHeader(tarfile.TarInfo):
    """A header that must be whole: tarfile itself takes a damaged one, or a missing end mark, for the end of the archive."""

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> tarfile.TarInfo:
        try:
            return super().fromtarfile(archive)
        except tarfile.EOFHeaderError:
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(str(error)) from error


def _tar_members(source: Path) -> Iterator[Member]:
    with tarfile.open(source, "r:*", tarinfo=_StrictHeader) as archive:
        for member in archive:
            if member.issym() or member.islnk():
                raise UserError(f"{source}: member {member.name!r} is a link; pack plain files only")
            if member.isfile():
                yield PurePosixPath(member.name), member.size, lambda member=member: archive.extractfile(member).read()
            elif not member.isdir():
                raise UserError(f"{source}: member {member.name!r} is not a plain file")
            archive.members.clear()  # a million of them would fill the memory
        while archive.fileobj.read(2**20):  # to the very end, where gzip and xz keep their checksum
            pass


def _zip_members(source: Path) -> Iterator[Member]:
    with zipfile.ZipFile(source) as archive:
        for member in archive.infolist():
            if (member.external_attr >> 16) & 0o170000 == 0o120000:
                raise UserError(f"{source}: member {member.filename!r} is a link; pack plain files only")
            if not member.is_dir():
                yield PurePosixPath(member.filename), member.file_size, lambda member=member: _read_zipped(archive, member)


def _read_zipped(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    try:
        return archive.read(member)
    except (RuntimeError, NotImplementedError) as error:  # a password, a method that zipfile does not know
        raise zipfile.BadZipFile(str(error)) from error


def _check_member(source: Path, name: PurePosixPath, size: int, total: int) -> None:
    if name.is_absolute() or ".." in name.parts or "\\" in str(name):
        raise UserError(f"{source}: member {str(name)!r} points outside the archive; refused")
    if size > MAX_MEMBER_BYTES:
        raise UserError(f"{source}: member {str(name)!r} is {size} bytes unpacked, over the limit of {MAX_MEMBER_BYTES}")
    if total > MAX_TOTAL_BYTES:
        raise UserError(f"{source}: over {MAX_TOTAL_BYTES} bytes unpacked; refused")


def _is_clutter(name: PurePosixPath) -> bool:
    """Files that operating systems leave behind: .DS_Store, ._x, __MACOSX/, Thumbs.db."""
    return any(part.startswith(".") or part in ("__MACOSX", "Thumbs.db") for part in name.parts)


def pack(source: Path, target: Path, wanted: list[PurePosixPath]) -> None:
    """Write the `wanted` files of a folder into one uncompressed tar, sorted and without dates or owners."""
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as archive:
        for name in sorted(wanted):
            _add(archive, name, (source / name).read_bytes())


@contextmanager
def repack(contents: Iterator[tuple[PurePosixPath, bytes]], target: Path) -> Iterator[list[PurePosixPath]]:
    """Write files one by one into an uncompressed tar, without dates or owners, and give their names to the caller's checks.

    The tar appears only once all files were read and the checks passed: after an error nothing is left behind.
    """
    existed = target.parent.exists()
    target.parent.mkdir(parents=True, exist_ok=True)
    draft, names = target.with_name(f".{target.name}"), []
    try:
        with tarfile.open(draft, "w", format=tarfile.PAX_FORMAT) as archive:
            for name, content in contents:
                _add(archive, name, content)
                archive.members.clear()
                names.append(name)
        yield names
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
        if not existed and not target.exists():
            target.parent.rmdir()


def _add(archive: tarfile.TarFile, name: PurePosixPath, content: bytes) -> None:
    member = tarfile.TarInfo(str(name))
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))
