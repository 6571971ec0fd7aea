"""Decoding: torchvision's bytes where torchvision has the same thing, and the same bytes by each way to them."""

import io
import os
import struct

import numpy as np
import pytest
from pictures import jpeg, stored
from PIL import ExifTags, Image, ImageOps, PngImagePlugin, TiffImagePlugin
from torchvision import transforms

from reslab.data.decode import FORMATS, Form, Unreadable, as_evaluated, centre, corners, decode, opened, shape
from reslab.errors import UserError

SIZES = [(48, 40), (40, 57), (33, 33), (300, 41), (36, 64), (500, 400)]
FORM = Form(image_size=32, resize=36, channels=3)


def pil(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content)).convert("RGB")


@pytest.mark.parametrize("size", SIZES)
def test_the_centre_is_torchvisions(size):
    content = jpeg(0, size)
    expected = transforms.Compose([transforms.Resize(36), transforms.CenterCrop(32)])(pil(content))
    np.testing.assert_array_equal(centre(content, FORM), np.asarray(expected))
    np.testing.assert_array_equal(as_evaluated(content, [3, 32, 32], 36, name="x").transpose(1, 2, 0), np.asarray(expected))


@pytest.mark.parametrize("size", SIZES)
def test_the_corners_are_torchvisions(size):
    content = jpeg(0, size)
    expected = transforms.Compose([transforms.Resize(36), transforms.FiveCrop(32)])(pil(content))
    np.testing.assert_array_equal(corners(content, FORM), np.stack([np.asarray(crop) for crop in expected]))


def test_grey():
    content = jpeg(0, (48, 40))
    grey = centre(content, Form(32, 36, 1))
    assert grey.shape == (32, 32, 1)
    expected = transforms.Compose([transforms.Resize(36), transforms.CenterCrop(32)])(pil(content).convert("L"))
    assert np.abs(grey[..., 0].astype(int) - np.asarray(expected)).max() <= 3  # JPEG keeps brightness itself


@pytest.mark.parametrize("content", [b"", b"no image", jpeg(0, (48, 40))[:-40], b"\x89PNG\r\n\x1a\n broken"])
def test_what_cannot_be_read_is_said(content):
    for read in (centre, corners):
        with pytest.raises(Unreadable):
            read(content, FORM)
    for resize in (None, 36):
        with pytest.raises(UserError, match=r"cannot read image 'x\.jpg'"):
            as_evaluated(content, [3, 32, 32], resize, name="x.jpg")


def test_without_a_resize_the_whole_image_is_taken():
    content = jpeg(0, (48, 40))
    np.testing.assert_array_equal(
        as_evaluated(content, [3, 32, 32], None, name="x"), decode(content, size=(32, 32), channels=3, name="x")
    )


@pytest.mark.parametrize("form", ["PNG", "TIFF", "WEBP", "JPEG", "AVIF"])
@pytest.mark.parametrize("orientation", [None, *range(10)])
def test_images_stand_upright_as_their_exif_says(form, orientation):
    """In every way to their pixels; the whole is what PIL's own exif_transpose gives."""
    if form not in FORMATS:
        pytest.skip(f"this Pillow has no {form}")
    content = stored(form, pil(jpeg(3, (60, 44))), orientation)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(content))).convert("RGB")
    assert shape(content) == (upright.height, upright.width)
    np.testing.assert_array_equal(np.asarray(opened(content, 3)), np.asarray(upright))
    plain = io.BytesIO()
    upright.save(plain, "PNG")
    np.testing.assert_array_equal(centre(content, FORM), centre(plain.getvalue(), FORM))
    np.testing.assert_array_equal(corners(content, FORM), corners(plain.getvalue(), FORM))


@pytest.mark.parametrize("where", ["Raw profile type exif", "XML:com.adobe.xmp"])
def test_a_png_stands_upright_also_as_the_notes_of_other_programs_say(where):
    """ImageMagick keeps a photograph's EXIF as text, others its orientation as XMP."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    profile = f"\nexif\n{len(exif.tobytes()):8d}\n{exif.tobytes().hex()}\n"
    out, notes = io.BytesIO(), PngImagePlugin.PngInfo()
    notes.add_itxt(where, profile if where.startswith("Raw") else '<rdf:Description tiff:Orientation="6"/>')
    pil(jpeg(3, (60, 44))).save(out, "PNG", pnginfo=notes)
    assert shape(out.getvalue()) == opened(out.getvalue(), 3).size[::-1] == (60, 44)
    upright = ImageOps.exif_transpose(Image.open(out)).convert("RGB")
    np.testing.assert_array_equal(np.asarray(opened(out.getvalue(), 3)), np.asarray(upright))


def test_a_photograph_with_damaged_exif_is_a_whole_photograph():
    content = stored("JPEG", pil(jpeg(3, (60, 44))), 6)
    place = content.index(b"Exif\0\0") + 6
    for damage in (b"\xff" * 8, b"II*\0\xff\xff\xff\x7f", bytes(8)):
        assert shape(content[:place] + damage + content[place + 8 :]) == (44, 60)


def test_no_image_starts_another_program(tmp_path, monkeypatch):
    """PIL would read an EPS, whatever its name, by starting Ghostscript, which can write files."""
    (tmp_path / "gs").write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    (tmp_path / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    out = io.BytesIO()
    Image.new("RGB", (8, 8)).save(out, "EPS")
    with pytest.raises(UserError, match=r"cannot read image 'x\.png' \(unknown image format; known are "):
        decode(out.getvalue(), size=(8, 8), channels=3, name="x.png")
    for read in (shape, lambda content: opened(content, 3), lambda content: centre(content, FORM)):
        with pytest.raises(Unreadable):
            read(out.getvalue())
    assert not (tmp_path / "started").exists()


@pytest.mark.parametrize("form", ["EPS", "PDF", "ICNS", "ICO", "PCX", "TGA", "SGI", "DDS", "IM", "XBM", "PSD"])
def test_other_formats_than_the_listed_are_refused(form):
    out = io.BytesIO()
    if form == "PSD":
        out.write(b"8BPS\0\1" + bytes(6) + b"\0\3\0\0\0\4\0\0\0\4\0\10\0\3" + bytes(200))
    else:
        Image.new("1" if form == "XBM" else "RGB", (32, 32)).save(out, form)
    with pytest.raises(Unreadable, match="unknown image format"):
        opened(out.getvalue(), 3)


def test_a_name_that_is_echoed_stays_short_and_on_one_line():
    with pytest.raises(UserError) as caught:
        decode(b"x", size=(8, 8), channels=3, name="a\n\x1b[31m" * 1000)
    assert len(str(caught.value)) < 400 and str(caught.value).isprintable()


def test_a_jpeg_of_endless_scans_is_refused():
    """Fifty thousand bytes of empty scans would take half a minute over sixteen million pixels."""
    out = io.BytesIO()
    pil(jpeg(3, (60, 44))).save(out, "JPEG", progressive=True)
    content, scan = out.getvalue(), b"\xff\xda\x00\x08\x01\x01\x00\x01\x3f\x00"
    assert opened(content[:-2] + 50 * scan + content[-2:], 3).size == (60, 44)
    with pytest.raises(Unreadable, match="a JPEG of over 100 scans"):
        opened(content[:-2] + 5000 * scan + content[-2:], 3)


@pytest.mark.parametrize("size", [(65_535, 1), (1, 65_535), (30_000, 2)])
def test_a_line_of_pixels_is_refused_before_it_is_resized(size):
    """To a shorter side of 256 it would take gigabytes."""
    out = io.BytesIO()
    Image.new("L", size).save(out, "PNG")
    for read in (centre, corners):
        with pytest.raises(Unreadable, match=rf"an image of {size[0]:,} x {size[1]:,} pixels, which resized would have"):
            read(out.getvalue(), Form(224, 256, 1))
    assert decode(out.getvalue(), size=(8, 8), channels=1, name="x").shape == (1, 8, 8)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"P6 #" + b"x " * 100_000 + b"\n8 8 255\n" + bytes(192), "a PPM with a header of over 4,096 bytes"),
        (b"P5\n" + b"#a b c\n" * 100_000 + b"8 8 255\n" + bytes(64), "a PPM with a header of over 4,096 bytes"),
        (b"P6" + b" " * 100_000 + b"8 8 255\n" + bytes(192), "a PPM with a header of over 4,096 bytes"),
        (b"P3 3000 1000 255\n" + b"0 " * 9_000_000, "a PPM in text of over 8,388,608 bytes; save it in its binary form, or as PNG"),
        (b"P6\n# by a program\n64 64\n255\n" + b"#" * 12_288, None),
        (b"P4\n800 80\n" + b"#" * 8_000, None),
    ],
    ids=range(6),
)
def test_a_ppm_that_is_read_byte_by_byte_is_not_waited_for(content, message):
    if message is None:
        assert centre(content, FORM).shape == (32, 32, 3)
        return
    with pytest.raises(Unreadable, match=message):
        centre(content, FORM)


def planar_tiff(planes: np.ndarray, *, listed: int | None = None) -> bytes:
    """A TIFF of colours (3, H, W) in separate planes, one strip each, of which only some may be listed."""
    count, height, width = planes.shape
    bits, data, strips = planes.itemsize * 8, planes.tobytes(), listed or count
    offset, lengths = 8 + len(data), [planes[0].nbytes] * strips
    lists = (
        struct.pack("<HHH", *[bits] * 3)
        + bytes(2)
        + struct.pack(f"<{2 * strips}I", *range(8, offset, planes[0].nbytes)[:strips], *lengths)
    )
    tags = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 3, offset), (259, 3, 1, 1), (262, 3, 1, 2)]
    tags += [
        (273, 4, strips, offset + 8),
        (277, 3, 1, 3),
        (278, 4, 1, height),
        (279, 4, strips, offset + 8 + 4 * strips),
        (284, 3, 1, 2),
    ]
    head = b"II*\0" + struct.pack("<I", offset + len(lists)) + data + lists
    return head + struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags) + bytes(4)


def test_colours_of_a_tiff_in_separate_planes_are_right_or_refused():
    """Of 16 bits PIL would make other colours, and of planes that are missing black."""
    colours = np.random.default_rng(0).integers(256, size=(3, 8, 9), dtype=np.uint8)
    np.testing.assert_array_equal(np.asarray(opened(planar_tiff(colours), 3)).transpose(2, 0, 1), colours)
    with pytest.raises(Unreadable, match="a TIFF of 16 bits in separate planes"):
        opened(planar_tiff(colours.astype("<u2") * 257), 3)
    with pytest.raises(Unreadable, match="a TIFF whose list of strips or tiles is cut off"):
        opened(planar_tiff(colours, listed=2), 3)


def test_a_tiff_is_turned_by_its_tag_alone():
    """PIL would turn it by XMP too, but only after it has told its size: windows would be cut from elsewhere."""
    out, tags = io.BytesIO(), TiffImagePlugin.ImageFileDirectory_v2()
    tags[700], tags.tagtype[700] = b'<rdf:Description tiff:Orientation="6"/>', 7
    pil(jpeg(3, (60, 44))).save(out, "TIFF", tiffinfo=tags)
    assert shape(out.getvalue()) == opened(out.getvalue(), 3).size[::-1] == (44, 60)


def grey_tiff(values: np.ndarray, *, bits: int = 16, meaning: int = 1, signs: int = 1) -> bytes:
    """An uncompressed TIFF of grey values as they are, whatever its tags say of them."""
    data, (height, width) = values.tobytes(), values.shape
    tags = {256: width, 257: height, 258: bits, 259: 1, 262: meaning, 273: 8, 277: 1, 278: height, 279: len(data), 339: signs}
    listed = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return b"II*\0" + struct.pack("<I", 8 + len(data)) + data + struct.pack("<H", len(tags)) + listed + bytes(4)


WIDE = (np.arange(64, dtype="<u2") * 1040).reshape(8, 8)  # 16 bits


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (grey_tiff(WIDE), None),
        (b"P5 8 8 65535\n" + WIDE.byteswap().tobytes(), None),
        (grey_tiff(WIDE[:, :6], bits=12), "a TIFF of 12 bits a pixel"),
        (grey_tiff(WIDE, meaning=0), "a TIFF of signed or inverted numbers"),
        (grey_tiff(WIDE.astype("u1"), bits=8, signs=2), "a TIFF of signed or inverted numbers"),
        (grey_tiff(WIDE, signs=2), "a TIFF of signed or inverted numbers"),
        (grey_tiff(WIDE.astype("<f4"), bits=32, signs=3), "pixels of 32 bits"),
    ],
    ids=range(7),
)
def test_grey_of_more_than_eight_bits_is_scaled_or_refused(content, message):
    if message is None:
        assert (np.asarray(opened(content, 1)) == WIDE // 257).all()
        return
    with pytest.raises(Unreadable, match=message):
        opened(content, 1)
