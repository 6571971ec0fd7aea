"""Encoded images as pixels, by PIL alone: its arithmetic on whole numbers gives the same bytes on every machine."""

import io
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import ceil

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from reslab.data.form import Form, Unreadable, unreadable
from reslab.errors import first_line

BILINEAR = Image.Resampling.BILINEAR  # antialiased, as torchvision's transforms on PIL images

Image.init()
# Pixels only: PIL also reads programs (EPS, which starts Ghostscript), and files that only their name makes images (TGA).
FORMATS = [name for name in ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP") if name in Image.OPEN]
SUFFIXES = frozenset(suffix for suffix, name in Image.EXTENSION.items() if name in {*FORMATS, "MPO"})  # MPO: JPEGs of cameras
TURNS = {  # EXIF orientation -> how to turn the pixels upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
JPEG_START = b"\xff\xd8"
MARKER, START_OF_SCAN = 0xFF, 0xDA  # of a JPEG
BITS, SIGNS, MEANING, PLANES = 258, 339, 262, 284  # tags of a TIFF
PARTS, ROWS = 273, 278  # where its strips are, and the rows of each
TILES, TILE = 324, (322, 323)  # where its tiles are, and their width and height
UNSIGNED, SIGNED, WHITE_IS_ZERO, APART = 1, 2, 0, 2
PPM, COMMENT = re.compile(rb"P[1-7fFyx]"), re.compile(rb"#[^\r\n]*")
LONGEST_HEADER, LONGEST_TEXT = 4096, 2**23  # bytes of a PPM
MAX_PIXELS = Image.MAX_IMAGE_PIXELS  # 89 million
MAX_SCANS = 100  # of a progressive JPEG; about ten are usual, and each goes over all pixels however few bytes it has
LYING = {turn for number, turn in TURNS.items() if number >= 5}  # height and width change places


def decode(content: bytes, *, size: tuple[int, int], channels: int, name: str) -> np.ndarray:
    """An image file as uint8 (channels, height, width), resized to `size` = (height, width) if it differs.

    Channels: 3 (RGB) or 1 (grey). Raises UserError with `name` if it cannot be read.
    """
    height, width = size
    try:
        image = opened(content, channels)
    except Unreadable as error:
        raise unreadable(name, error) from error
    if image.size != (width, height):
        image = image.resize((width, height), BILINEAR)
    return np.array(rows_of(image, channels).transpose(2, 0, 1), order="C")  # a copy: PIL's own pixels are read-only


def as_evaluated(content: bytes, image_shape: Sequence[int], resize: int | None, *, name: str) -> np.ndarray:
    """An image file as a network of that `image_shape` was evaluated, uint8 (C, H, W); raises UserError with `name`.

    That is the centre where images were stored as files with a `resize`, else the whole image.
    """
    channels, height, width = image_shape
    if resize is None:
        return decode(content, size=(height, width), channels=channels, name=name)
    try:
        return np.ascontiguousarray(centre(content, Form(height, resize, channels)).transpose(2, 0, 1))
    except Unreadable as error:
        raise unreadable(name, error) from error


def opened(content: bytes, channels: int) -> Image.Image:
    """An image with all its pixels, in RGB or grey, upright as its EXIF orientation says; raises Unreadable."""
    with reading():
        return pixels_of(header(content), channels)


def shape(content: bytes) -> tuple[int, int]:
    """Height and width of an image that stands upright, from its header; raises Unreadable."""
    with reading():
        return upright_shape(header(content))


def has_further_pictures(content: bytes) -> bool:
    """Whether a file holds more than the picture that is taken, its first: pages, or frames of an animation."""
    if content.startswith(JPEG_START):  # the second one of a camera's MPO is a preview, or the other eye's
        return False
    try:
        with reading():
            return getattr(header(content), "is_animated", False)
    except Unreadable:  # said when it is decoded
        return False


def centre(content: bytes, form: Form) -> np.ndarray:
    """The middle of the image resized to `form.resize` on its shorter side, uint8 (S, S, channels); raises Unreadable.

    The bytes are those of torchvision's Resize and CenterCrop on PIL images.
    """
    image = _resized(opened(content, form.channels), form.resize)
    return rows_of(image.crop(_middle(image, form.image_size)), form.channels)


def corners(content: bytes, form: Form) -> np.ndarray:
    """The four corners and the middle of the resized image, uint8 (5, S, S, channels); raises Unreadable."""
    image, side = _resized(opened(content, form.channels), form.resize), form.image_size
    right, bottom = image.width - side, image.height - side
    boxes = [(x, y, x + side, y + side) for y in (0, bottom) for x in (0, right)]
    return np.stack([rows_of(image.crop(box), form.channels) for box in (*boxes, _middle(image, side))])


def upright_shape(image: Image.Image) -> tuple[int, int]:
    """Height and width of an image that is not decoded yet, once it stands upright."""
    width, height = image.size
    return (width, height) if turn_of(image) in LYING else (height, width)


def pixels_of(image: Image.Image, channels: int) -> Image.Image:
    """All pixels of an image that is not decoded yet, in RGB or grey, upright."""
    turn, mode = turn_of(image), "RGB" if channels == 3 else "L"
    pixels = _eight_bits(image)
    pixels.load()
    if pixels.mode != mode:  # `convert` to the mode that it has copies all pixels
        pixels = pixels.convert(mode)
    return pixels if turn is None else pixels.transpose(turn)


def _resized(image: Image.Image, shorter: int) -> Image.Image:
    width, height = image.size
    short, long = min(width, height), max(width, height)
    if short == shorter:
        return image
    longer = int(shorter * long / short)
    if shorter * longer > MAX_PIXELS:  # one row of 65,535 pixels would take gigabytes
        raise Unreadable(f"an image of {width:,} x {height:,} pixels, which resized would have {shorter * longer:,}")
    return image.resize((shorter, longer) if width <= height else (longer, shorter), BILINEAR)


def _middle(image: Image.Image, side: int) -> tuple[int, int, int, int]:
    left, top = round((image.width - side) / 2), round((image.height - side) / 2)
    return left, top, left + side, top + side


def rows_of(image: Image.Image, channels: int) -> np.ndarray:
    """The pixels, uint8 (height, width, channels), which are PIL's own."""
    return np.asarray(image).reshape(image.height, image.width, channels)


@contextmanager
def reading() -> Iterator[None]:
    """Within, whatever a reader of images raises becomes Unreadable."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of PIL's doubts about metadata, which change no pixel
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    except UnidentifiedImageError as error:  # PIL's text names a buffer
        raise Unreadable(f"unknown image format; known are {', '.join(FORMATS)}") from error
    except Exception as error:  # over damaged bytes PIL's readers raise whatever they stumble upon
        raise Unreadable(first_line(error)) from error


def header(content: bytes) -> Image.Image:
    """An image that is not decoded yet; raises what `reading` turns into Unreadable."""
    _check_ppm(content)
    image = Image.open(io.BytesIO(content), formats=FORMATS)
    if image.format in ("JPEG", "MPO") and _scans(content) > MAX_SCANS:
        raise ValueError(f"a JPEG of over {MAX_SCANS} scans")
    if image.format == "TIFF":  # by its tag alone, which PIL's size heeds: by XMP it would be turned after it has told its size
        image.info.pop("xmp", None)
    return image


def _scans(content: bytes) -> int:
    """How often a JPEG's bytes say that a scan starts; numpy counts in a fifth of the time of bytes.count."""
    numbers = np.frombuffer(content, np.uint8)
    return np.count_nonzero((numbers[:-1] == MARKER) & (numbers[1:] == START_OF_SCAN))


def _check_ppm(content: bytes) -> None:
    """Raise ValueError for a PPM that PIL would read for minutes, byte by byte: a long header, or much text in place of bytes."""
    kind = content[:2]
    if PPM.match(kind) is None or len(content) <= LONGEST_HEADER:
        return
    fields = COMMENT.sub(b"", content[:LONGEST_HEADER]).split(None, 4)
    if len(fields) < (3 if kind in (b"P1", b"P4") else 4):
        raise ValueError(f"a PPM with a header of over {LONGEST_HEADER:,} bytes")
    if kind in (b"P1", b"P2", b"P3") and len(content) > LONGEST_TEXT:
        raise ValueError(f"a PPM in text of over {LONGEST_TEXT:,} bytes; save it in its binary form, or as PNG")


def turn_of(image: Image.Image) -> Image.Transpose | None:
    """How the pixels of an image that is not decoded yet must be turned; None if they stand as they are, or EXIF is damaged."""
    if image.format == "TIFF":  # PIL turns it while decoding
        return None
    try:  # not by image.getexif: of a PNG that decodes all pixels to look behind them
        return TURNS.get(Image.Image.getexif(image).get(ExifTags.Base.Orientation))
    except Exception:  # noqa: BLE001 - as above; a photograph with damaged EXIF is a whole photograph
        return None


def _eight_bits(image: Image.Image) -> Image.Image:
    """A 16-bit grey image scaled to 8 bits, where PIL would clip it to white; raises ValueError for what PIL would misread."""
    if image.format == "TIFF":
        _check_tiff(image)
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM"):
        return Image.fromarray((np.asarray(image) // 257).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError(f"pixels of 32 bits, or signed (mode {image.mode}); save it with 8 or 16 bits")
    return image


def _check_tiff(image: Image.Image) -> None:
    """Raise ValueError for a TIFF of which PIL makes other pixels: 12 bits as 16, signed as unsigned, white as black in 16 bits."""
    bits, signs, meaning = (image.tag_v2.get(tag, usual) for tag, usual in ((BITS, 1), (SIGNS, UNSIGNED), (MEANING, None)))
    bits, signs = (set(found) if isinstance(found, tuple) else {found} for found in (bits, signs))
    if not bits <= {1, 2, 4, 8, 16, 32}:
        raise ValueError(f"a TIFF of {max(bits)} bits a pixel; save it with 8 or 16 bits")
    if SIGNED in signs or (image.mode.startswith("I;16") and meaning == WHITE_IS_ZERO):
        raise ValueError("a TIFF of signed or inverted numbers; save it with 8 or 16 bits, 0 for black")
    planes = len(image.getbands()) if image.tag_v2.get(PLANES) == APART else 1
    if bits == {16} and image.tag_v2.get(PLANES) == APART:
        raise ValueError("a TIFF of 16 bits in separate planes; save it with 8 bits, or with the colours together")
    if len(image.tag_v2.get(TILES, image.tag_v2.get(PARTS, ()))) < planes * _parts_of_a_plane(image):
        raise ValueError("a TIFF whose list of strips or tiles is cut off")


def _parts_of_a_plane(image: Image.Image) -> int:
    """The strips or tiles that a TIFF must have; its size is that of its pixels as they lie."""
    tags = image.tag_v2
    width, height = tags[256], tags[257]
    if TILES in tags:
        across, down = (tags[tag] for tag in TILE)
        return ceil(width / across) * ceil(height / down)
    return ceil(height / min(tags.get(ROWS, height), height))
