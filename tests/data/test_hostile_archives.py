"""Archives made to harm: refused by name, at once and in little memory. And archives of odd programs: read, or explained."""

import bz2
import gzip
import io
import os
import resource
import struct
import tarfile
import zipfile
from pathlib import Path

import pytest
from test_image_folder import FILES, dataset, png, write_archive, write_folder

from reslab.data.datasets import archives
from reslab.data.datasets.entries import Entry
from reslab.data.datasets.links import follow
from reslab.errors import UserError

LITTLE = 500 * 2**20  # bytes of memory


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def refused(raw: Path, path: Path, message: str) -> None:
    before = peak()
    with pytest.raises(UserError) as caught:
        dataset(raw, path).fetch()
    assert message in str(caught.value)
    assert path.name in str(caught.value) and len(str(caught.value)) < 500
    assert not raw.exists()
    assert peak() - before < LITTLE


def header(name: str, *, size: int = 0, kind: bytes = tarfile.REGTYPE, pax: dict[str, str] | None = None) -> bytes:
    member = tarfile.TarInfo(name)
    member.size, member.type, member.pax_headers = size, kind, pax or {}
    return member.tobuf(tarfile.PAX_FORMAT if pax else tarfile.GNU_FORMAT)


def raw_tar(*blocks: bytes) -> bytes:
    return b"".join(block + bytes(-len(block) % 512) for block in blocks) + bytes(1024)


def with_size(block: bytes, size: int) -> bytes:
    """A header with another size, in base 256 as tars have it for large numbers, and its checksum made right."""
    number = size.to_bytes(12, "big", signed=True)
    block = block[:124] + bytes([0x80 | number[0]]) + number[1:] + block[136:]
    block = block[:148] + b" " * 8 + block[156:]
    return block[:148] + b"%06o\0 " % sum(block[:512]) + block[156:]


SPARSE_MAP = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "train/cat/s.png"}
TARS = {
    "old sparse": raw_tar(header("train/cat/s.png", size=10**12, kind=tarfile.GNUTYPE_SPARSE)),
    "pax sparse 1.0": raw_tar(header("x", size=512, pax=SPARSE_MAP | {"GNU.sparse.realsize": "9" * 12}), b"9" * 9 + b"\n"),
    "pax sparse 0.1": raw_tar(header("train/cat/s.png", pax={"GNU.sparse.map": "0,1" * 9, "GNU.sparse.size": "9" * 12})),
    "pax sparse 0.0": raw_tar(header("train/cat/s.png", pax={"GNU.sparse.size": "9" * 12})),
}


@pytest.mark.parametrize("name", TARS)
@pytest.mark.parametrize("form", ["x.tar", "x.tar.gz"])
def test_sparse_members_are_refused(tmp_path, name, form):
    packed = gzip.compress(TARS[name]) if form.endswith("gz") else TARS[name]
    (tmp_path / form).write_bytes(packed)
    refused(tmp_path / "raw", tmp_path / form, "' is a sparse file; pack it again without --sparse")


@pytest.mark.parametrize(
    "content",
    [
        raw_tar(with_size(header("train/cat/1.png"), -512)),
        raw_tar(header("a"), with_size(header("train/cat/1.png"), -1024)),
        raw_tar(header("train/cat/1.png", pax={"size": "-1024"})),
        raw_tar(with_size(header("././@LongLink", kind=tarfile.GNUTYPE_LONGNAME), 10**11)),
        raw_tar(with_size(header("././@PaxHeader", kind=tarfile.XHDTYPE), 10**11)),
        raw_tar(header("././@PaxHeader", kind=tarfile.XHDTYPE, size=512), b"9" * 500),
        raw_tar(*[header("././@LongLink", kind=tarfile.GNUTYPE_LONGNAME, size=1)] * 3000),
        raw_tar(header("train/cat/1.png", pax={"size": "9" * 5000})),
        raw_tar(with_size(header("train/cat/1.png"), 10**12)),
    ],
    ids=lambda content: str(len(content)),
)
def test_headers_that_lie_end_in_one_line(tmp_path, content):
    (tmp_path / "x.tar").write_bytes(content)
    refused(tmp_path / "raw", tmp_path / "x.tar", "x.tar: ")


def test_a_stream_of_zeros_is_refused_early(tmp_path):
    """A terabyte in a few kilobytes, as bz2 packs it."""
    piece = bz2.compress(bytes(45 * 2**20))
    (tmp_path / "x.tar.bz2").write_bytes(bz2.compress(with_size(header("notes.bin"), 10**12)) + piece * 100)
    refused(tmp_path / "raw", tmp_path / "x.tar.bz2", "1,100 times what it is packed in; refused")
    (tmp_path / "y.tar.bz2").write_bytes(bz2.compress(raw_tar(header("notes.bin"))) + piece * 100)
    refused(tmp_path / "raw", tmp_path / "y.tar.bz2", "1,100 times what it is packed in; refused")


def test_a_zip_whose_members_lie_over_one_another_is_refused(tmp_path):
    path = write_archive(tmp_path / "x.zip", FILES | {"train/cat/big.png": bytes(20 * 2**20)})
    with zipfile.ZipFile(path, "a") as archive:
        big = archive.getinfo("train/cat/big.png")
        for i in range(10):
            again = zipfile.ZipInfo(f"train/cat/{i}.png")
            again.header_offset, again.file_size, again.compress_size = big.header_offset, big.file_size, big.compress_size
            again.CRC, again.compress_type = big.CRC, big.compress_type
            archive.filelist.append(again)
        archive._didModify = True
    refused(tmp_path / "raw", path, "x.zip: ")


def test_a_picture_that_is_marked_as_a_link_is_not_lost(tmp_path):
    """A zip's directory has no checksum: one flipped bit of a member's mode would leave the picture out as a broken link."""
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for name, content in FILES.items():
            member = zipfile.ZipInfo(name)
            member.external_attr = (0o120644 if name == next(iter(FILES)) else 0o100644) << 16
            archive.writestr(member, content)
    refused(tmp_path / "raw", tmp_path / "x.zip", "is marked as a link, and holds no path")


def test_a_picture_whose_entry_in_the_directory_is_zeroed_is_not_empty(tmp_path):
    """Checksum and sizes of nothing fit one another; those beside the content do not fit them."""
    write_archive(tmp_path / "x.zip", FILES)
    content = bytearray((tmp_path / "x.zip").read_bytes())
    entry = content.index(b"PK\x01\x02")
    content[entry + 16 : entry + 28] = bytes(12)
    (tmp_path / "x.zip").write_bytes(content)
    refused(tmp_path / "raw", tmp_path / "x.zip", "is not what the directory says")


def test_a_picture_whose_name_is_cut_to_its_folder_is_not_lost(tmp_path):
    write_archive(tmp_path / "x.zip", FILES)
    content = bytearray((tmp_path / "x.zip").read_bytes())
    entry = content.index(b"PK\x01\x02")
    content[content.index(b"/", entry) + 1] = 0  # train/cat/1.png becomes train/
    (tmp_path / "x.zip").write_bytes(content)
    refused(tmp_path / "raw", tmp_path / "x.zip", "differ")


@pytest.mark.parametrize("most", [0xFFFF, 1])
def test_an_entry_that_swallows_the_next_loses_no_picture(tmp_path, monkeypatch, most):
    """Above `most` members, of which ImageNet has more, they are counted elsewhere in the file."""
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", most)
    write_archive(tmp_path / "x.zip", FILES)
    content = bytearray((tmp_path / "x.zip").read_bytes())
    content[content.rindex(b"PK\x01\x02", 0, content.rindex(b"PK\x01\x02")) + 33] = 1  # a comment of 256 bytes
    (tmp_path / "x.zip").write_bytes(content)
    refused(tmp_path / "raw", tmp_path / "x.zip", "are counted")


def test_a_member_that_says_it_is_small_does_not_grow(tmp_path):
    path = write_archive(tmp_path / "x.zip", FILES | {"train/cat/0.png": bytes(2**26)})
    content = path.read_bytes()
    path.write_bytes(content.replace(struct.pack("<L", 2**26), struct.pack("<L", 100)))
    refused(tmp_path / "raw", path, "damaged or truncated archive")


def test_limits_count_what_is_taken(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MAX_MEMBER_BYTES", 10_000)
    monkeypatch.setattr(archives, "MAX_TOTAL_BYTES", 20_000)
    noise = os.urandom(50_000)
    for path in (
        write_folder(tmp_path / "in", FILES | {"all.tar": noise, "train/cat/notes.txt": noise}),
        write_archive(tmp_path / "x.tar.gz", FILES | {"all.tar": noise}),
        write_archive(tmp_path / "x.zip", FILES | {"all.tar": noise}),
    ):
        assert "1 .tar ('all.tar')" in dataset(tmp_path / f"raw-{path.name}", path).fetch()[1]
    refused(tmp_path / "raw", write_folder(tmp_path / "y", FILES | {"train/cat/9.png": noise}), "over the limit of 10,000")
    many = {f"train/cat/{i}.png": noise[:9000] for i in range(3)}
    refused(tmp_path / "raw", write_archive(tmp_path / "z.tar", FILES | many), "over 20,000 bytes unpacked; refused")


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    folder = write_folder(tmp_path / "in")
    os.mkfifo(folder / "notes")
    assert "1 without an extension ('notes')" in dataset(tmp_path / "raw1", folder).fetch()[1]
    os.mkfifo(folder / "train" / "cat" / "9.png")
    refused(tmp_path / "raw", folder, "'train/cat/9.png' is not a plain file but a pipe, a socket or a device")
    os.mkfifo(tmp_path / "x.tar")
    refused(tmp_path / "raw", tmp_path / "x.tar", "x.tar: not a folder or an archive")


def flagged(path: Path, flag: int = 0, version: int = 20, method: int = 8) -> Path:
    """A zip whose directory and local headers carry other flags, version and method."""
    content = bytearray(path.read_bytes())
    for mark, start in ((b"PK\x01\x02", 6), (b"PK\x03\x04", 4)):
        place = content.find(mark)
        while place >= 0:
            struct.pack_into("<HHH", content, place + start, version, flag, method)
            place = content.find(mark, place + 4)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"flag": 1}, "is encrypted; unpack it with its password and pack it again without one"),
        ({"flag": 0x41}, "is encrypted"),
        ({"flag": 0x20}, "holds patches of another file"),
        ({"method": 9}, "is packed by method 9 (deflate64); pack it again with the usual deflate"),
        ({"method": 93}, "is packed by method 93 (unknown)"),
        ({"method": 14}, "is packed by method 14 (lzma)"),
        ({"version": 90}, "a form of zip that is not read here (zip file version 9.0); pack it again as .zip or .tar"),
    ],
)
def test_zips_that_are_not_read_say_why(tmp_path, change, message):
    refused(tmp_path / "raw", flagged(write_archive(tmp_path / "x.zip"), **change), message)


@pytest.mark.parametrize("marked", [True, False])
def test_names_in_zips_of_other_programs(tmp_path, marked):
    """Backslashes, and UTF-8 that is not marked as such."""
    path = tmp_path / "x.zip"
    names = [f"{split}\\{kind}\\1.png" for split in ("train", "test") for kind in ("Kätzchen", "犬")]
    path.write_bytes(zip_of(names, marked))
    images = dataset(tmp_path / "raw", path)
    images.fetch()
    assert images.read().class_names == ["Kätzchen", "犬"]


def zip_of(names: list[str], marked: bool) -> bytes:
    """A zip with raw names: zipfile itself would turn backslashes on Windows and mark UTF-8."""
    out, directory = io.BytesIO(), []
    for name in map(str.encode, names):
        content, flag = png(1), 0x800 * marked
        fixed = struct.pack("<HHHHHLLLHH", 20, flag, 0, 0, 0, zipfile.crc32(content), len(content), len(content), len(name), 0)
        directory.append(b"PK\x01\x02" + struct.pack("<H", 20) + fixed + struct.pack("<HHHLL", 0, 0, 0, 0, out.tell()) + name)
        out.write(b"PK\x03\x04" + fixed + name + content)
    start, whole = out.tell(), b"".join(directory)
    out.write(whole + b"PK\x05\x06" + struct.pack("<HHHHLLH", 0, 0, len(names), len(names), len(whole), start, 0))
    return out.getvalue()


def test_names_longer_than_any_index_should_hold_are_refused(tmp_path):
    path = write_archive(tmp_path / "x.tar", FILES | {f"train/cat/{'n/' * 600}1.png": png(1)})
    refused(tmp_path / "raw", path, "is over 1,000 bytes long; rename it")


def test_an_archive_is_known_by_what_it_is(tmp_path):
    tar, zipped = write_archive(tmp_path / "x.tar.xz"), write_archive(tmp_path / "x.zip")
    for path, name in ((tar, "download"), (zipped, "images.bin"), (tar, "wrong.zip")):
        (tmp_path / name).write_bytes(path.read_bytes())
        dataset(tmp_path / f"raw-{name}", tmp_path / name).fetch()
    (tmp_path / "x.rar").write_bytes(b"Rar!")
    refused(tmp_path / "raw", tmp_path / "x.rar", "not a folder or an archive")


@pytest.mark.parametrize("form", ["w", "w:gz"])
@pytest.mark.parametrize("rest", ["another tar", "junk"])
def test_what_follows_a_tars_end_is_not_passed_over(tmp_path, form, rest):
    first = write_archive(tmp_path / "a.tar").read_bytes()
    more = write_archive(tmp_path / "b.tar", {"train/cat/9.png": png(9)}).read_bytes() if rest == "another tar" else b"junk" * 200
    assert len(dataset(tmp_path / "raw0", tmp_path / "a.tar").fetch())
    (tmp_path / "x.tar").write_bytes(gzip.compress(first + more) if form == "w:gz" else first + more)
    refused(tmp_path / "raw", tmp_path / "x.tar", "goes on after its end: put the files of all parts into one archive")


def test_many_links_are_followed_in_time():
    """Seconds if each were compared with all others."""
    many = [Entry("train/cat/0.png", size=1), *(Entry(f"x/{i}", "link", target="train/cat") for i in range(20_000))]
    assert len(follow(many).files) == 20_001
