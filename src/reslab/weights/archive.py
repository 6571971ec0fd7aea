"""Released archives: networks in a zip file, each used by its path in it, such as `study-weights.zip/resnet020-bn-s0`."""

import shutil
import struct
import tempfile
import zipfile
from io import BytesIO
from pathlib import Path

from reslab.errors import UserError, first_line, located, new_file, shown
from reslab.runs.network_files import RECORD, WEIGHTS
from reslab.storage import explained, writes, writing

SUFFIX = ".zip"
FIRST_DAY = (1980, 1, 1, 0, 0, 0)  # of every file, so that equal networks give equal archives
LARGEST = 2**33  # bytes of one network's weights
LARGEST_DIRECTORY = 2**24  # bytes of the list of files, of which each takes ten times its entry in memory
LONGEST_END = 22 + 0xFFFF + 76  # bytes at a zip's end that tell where that list is, with a comment
ALL_ONES = 0xFFFFFFFF  # where the size is told in the end of a large archive
PIECE = 2**20  # bytes in memory at once: all weights of a study may not fit
NAMED = 6  # networks in a message

_unpacked: list[tempfile.TemporaryDirectory] = []  # deleted when the process ends


@writes
def write(path: Path, files: dict[str, bytes | Path]) -> None:
    """Write the files by their names in the archive, uncompressed: weights do not get smaller."""
    with new_file(path) as draft, zipfile.ZipFile(draft, "w", zipfile.ZIP_STORED) as packed:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, FIRST_DAY)
            entry.external_attr = 0o644 << 16
            entry.file_size = content.stat().st_size if isinstance(content, Path) else len(content)
            with packed.open(entry, "w") as target, content.open("rb") if isinstance(content, Path) else BytesIO(content) as source:
                shutil.copyfileobj(source, target, PIECE)


def unpacked(path: Path) -> Path:
    """A path as it is, or, of a network inside an archive, a folder that it was unpacked into; raises UserError."""
    found = next((part for part in (path, *path.parents) if part.suffix == SUFFIX and part.is_file()), None)
    if found is None:
        return path
    wanted = path.relative_to(found).as_posix().removesuffix(WEIGHTS).strip("/.")
    try:
        with located(found):
            packed = opened(found)
        with packed:
            return _take(packed, found, wanted)
    except UserError:
        raise
    except Exception as error:  # over damaged bytes zipfile raises a dozen kinds
        if explained(error):  # of TMPDIR, not of the archive
            raise
        raise UserError(f"{found}: damaged archive ({first_line(error)}); fetch it again") from None


def opened(path: Path) -> zipfile.ZipFile:
    """A zip of weights, opened unless its list of files is too large to be of one (UserError); raises else what zipfile does."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - LONGEST_END))
        tail = file.read()
    places = [(tail.rfind(b"PK\5\6"), "<L", 12), (tail.rfind(b"PK\6\6"), "<Q", 40)]  # the end, and that of large archives
    sizes = [struct.unpack_from(form, tail, at + beyond)[0] for at, form, beyond in places if 0 <= at < len(tail) - beyond - 8]
    if any(LARGEST_DIRECTORY < size != ALL_ONES for size in sizes):
        raise UserError("lists too many files for an archive of weights")
    return zipfile.ZipFile(path)


def released(path: Path) -> Path:
    """A path as it is, or the weights of a network inside an archive; raises UserError."""
    return path if (folder := unpacked(path)) == path else folder / WEIGHTS


def _take(packed: zipfile.ZipFile, path: Path, wanted: str) -> Path:
    networks = {name.removesuffix(f"/{WEIGHTS}"): name for name in packed.namelist() if name.endswith(f"/{WEIGHTS}")}
    if not wanted and len(networks) == 1:
        wanted = next(iter(networks))
    if wanted not in networks:
        some = ", ".join(sorted(networks)[:NAMED]) + (f" and {len(networks) - NAMED} more" if len(networks) > NAMED else "")
        what = f"no network {shown(wanted)} in it" if wanted else "holds several networks"
        raise UserError(f"{path}: {what}; give one as {path.name}/NETWORK: {some}" if networks else f"{path}: no networks in it")
    holder = tempfile.TemporaryDirectory(prefix="reslab-")
    _unpacked.append(holder)
    for name in (WEIGHTS, RECORD):
        if f"{wanted}/{name}" not in packed.namelist():  # its name is damaged: the directory of a zip has no checksum
            raise UserError(f"{path}: {shown(wanted)} has no {name}: damaged, or not from `reslab release`; fetch it again")
        _check_stored(packed.getinfo(f"{wanted}/{name}"), path)
        target = Path(holder.name) / name
        with packed.open(f"{wanted}/{name}") as source, writing(target), target.open("wb") as file:
            shutil.copyfileobj(source, file, PIECE)
    return Path(holder.name)


def _check_stored(entry: zipfile.ZipInfo, path: Path) -> None:
    """Raise UserError for a file that grows when it is unpacked, or is too large."""
    if entry.compress_type != zipfile.ZIP_STORED or entry.file_size > LARGEST:
        raise UserError(
            f"{path}: {shown(entry.filename)} is compressed or larger than {LARGEST:,} bytes: not from `reslab release`"
        )
