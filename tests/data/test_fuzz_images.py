"""Images with random damage in every format that is read: pixels or Unreadable, and never another program."""

import io

import numpy as np
from fuzzing import fuzz
from hostile import CHANGES, changed, check_message
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from reslab.data import decode
from reslab.data.decode import FORMATS, Form, Unreadable
from reslab.data.window import window


def encoded(form: str, mode: str = "RGB", **options) -> bytes:
    out = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (24, 20, 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(out, form, **options)
    return out.getvalue()


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


BASES = [encoded(form) for form in FORMATS] + [
    encoded("JPEG", exif=turned(6)),
    encoded("JPEG", "CMYK", progressive=True),
    encoded("PNG", "P", exif=turned(5)),
    encoded("PNG", "RGBA", dpi=(1, 1)),
    encoded("PNG", "LA"),
    encoded("TIFF", "L", compression="tiff_lzw"),
    encoded("TIFF", exif=turned(8), compression="jpeg"),
    encoded("WEBP", "RGBA", exif=turned(3), lossless=True),
    encoded("GIF", "P", save_all=True, append_images=[Image.new("P", (20, 24))]),
    encoded("EPS"),
    encoded("PDF"),
]


READERS = {
    "shape": lambda content, form: decode.shape(content),
    "centre": decode.centre,
    "corners": decode.corners,
    "window": lambda content, form: window(content, form, top=0, left=0, height=3, width=3),
}


@fuzz(2000)
@given(st.sampled_from(BASES), CHANGES, st.sampled_from([1, 3]), st.sampled_from(sorted(READERS)))
def test_fuzz_damaged_images(base, changes, channels, reader):
    try:
        READERS[reader](changed(base, changes), Form(image_size=8, resize=9, channels=channels))
    except Unreadable as error:
        check_message(error)


def test_an_image_with_a_turned_header_is_as_high_as_its_header_says():
    for base in BASES[: len(FORMATS) + 8]:
        image = decode.opened(base, 3)
        assert decode.shape(base) == (image.height, image.width)
