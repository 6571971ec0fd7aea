"""Windows of encoded images: PIL's crops within a level, and the same bytes by every kernel that torch chooses from."""

import hashlib
import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pictures import jpeg, stored
from PIL import Image, ImageOps
from torchvision import transforms
from torchvision.transforms import v2

from reslab.data import window as windows
from reslab.data.decode import FORMATS
from reslab.data.form import Form, Unreadable
from reslab.data.window import window

FORM = Form(image_size=32, resize=36, channels=3)
BOXES = [(0, 0, 40, 48), (3, 5, 20, 30), (0, 0, 32, 32), (7, 2, 32, 32), (39, 47, 1, 1)]  # top, left, height, width
HASH = "4a8a5bfd5c78782a90175736b54446dfbb94ca08df05e200e05fff588b8cac81"  # of `hashed`: on every processor


def box_of(box: tuple[int, int, int, int]) -> dict[str, int]:
    return dict(zip(("top", "left", "height", "width"), box, strict=True))


def upright(content: bytes, mode: str = "RGB") -> Image.Image:
    return ImageOps.exif_transpose(Image.open(io.BytesIO(content))).convert(mode)


def saved(image: Image.Image, form: str = "JPEG", **options) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def hashed() -> str:
    """Of windows of many sizes, grey and coloured, smaller and larger than the image's part, decoded whole and smaller."""
    digest, numbers = hashlib.sha256(), np.random.default_rng(0)
    for i in range(100):
        width, height = (int(n) for n in numbers.integers(20, 400, 2))
        content = saved(upright(jpeg(i, (width, height)), ["RGB", "L"][i % 2]), quality=int(numbers.integers(30, 99)))
        top, left = int(numbers.integers(height)), int(numbers.integers(width))
        box = (top, left, int(numbers.integers(top, height)) - top + 1, int(numbers.integers(left, width)) - left + 1)
        digest.update(window(content, Form(int(numbers.integers(8, 200)), None, [3, 1][i % 2]), **box_of(box)).tobytes())
        digest.update(window(content, Form(8, None, [3, 1][i % 2]), top=0, left=0, height=height, width=width).tobytes())
    return digest.hexdigest()


@pytest.mark.parametrize("box", BOXES)
def test_a_window_is_torchvisions_resized_crop(box):
    """On bytes to the bit, on PIL images within a level, where nothing is decoded smaller."""
    content = jpeg(0, (48, 40))
    cut = window(content, FORM, **box_of(box))
    by_pil = np.asarray(transforms.functional.resized_crop(upright(content), *box, size=[32, 32])).astype(int)
    assert np.abs(cut - by_pil).max() <= 1
    on_bytes = v2.functional.pil_to_tensor(upright(content))[:, box[0] : box[0] + box[2], box[1] : box[1] + box[3]][None]
    expected = windows.interpolate(on_bytes, (32, 32), mode="bilinear", antialias=True)
    np.testing.assert_array_equal(cut, expected[0].permute(1, 2, 0).numpy())


@pytest.mark.parametrize(
    "settings",
    [{"ATEN_CPU_CAPABILITY": "default", "JSIMD_FORCENONE": "1"}, {"ATEN_CPU_CAPABILITY": "avx2"}, {"JSIMD_FORCESSE2": "1"}, {}],
    ids=["plain", "AVX2", "SSE2", "own"],
)
def test_every_kernel_of_torch_and_libjpeg_gives_the_same_bytes(settings):
    """Without vector instructions, with those that most processors have, and as this one chooses; the hash is another's."""
    command = [sys.executable, "-c", "import test_window; print(test_window.hashed())"]
    environment = os.environ | settings | {"PYTHONPATH": os.pathsep.join(sys.path)}
    found = subprocess.run(command, env=environment, cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == HASH


def test_a_large_jpeg_is_decoded_smaller_but_never_too_small(monkeypatch):
    sizes = []
    decode = windows.simplejpeg.decode_jpeg
    monkeypatch.setattr(
        windows.simplejpeg, "decode_jpeg", lambda *given, **kwargs: sizes.append((found := decode(*given, **kwargs)).shape) or found
    )
    content = jpeg(0, (1000, 601))
    boxes = [(0, 0, 601, 1000), (301, 500, 300, 500), (0, 0, 64, 65), (9, 9, 63, 600)]
    for box in boxes:
        expected = (
            upright(content).crop((box[1], box[0], box[1] + box[3], box[0] + box[2])).resize((32, 32), Image.Resampling.BILINEAR)
        )
        assert np.abs(window(content, FORM, **box_of(box)) - np.asarray(expected).astype(int)).mean() < 2
    assert sizes[1:] == [(76, 125, 3), (301, 500, 3), (601, 1000, 3)]
    assert sizes[0][0] >= 32


@pytest.mark.parametrize("form", ["PNG", "TIFF", "WEBP", "JPEG", "AVIF"])
@pytest.mark.parametrize("orientation", [None, *range(10)])
def test_windows_stand_upright_as_their_exif_says(form, orientation):
    if form not in FORMATS:
        pytest.skip(f"this Pillow has no {form}")
    content = stored(form, upright(jpeg(3, (60, 44))), orientation)
    plain = saved(upright(content), "PNG")
    box = {"top": 3, "left": 7, "height": 20, "width": 26}
    np.testing.assert_array_equal(window(content, FORM, **box), window(plain, FORM, **box))


def test_a_lying_jpeg_is_cut_and_decoded_smaller_where_it_stands():
    lying = upright(jpeg(3, (600, 400)))
    content, box = stored("JPEG", lying, 6), (300, 10, 280, 300)
    expected = upright(content).crop((10, 300, 310, 580)).resize((32, 32), Image.Resampling.BILINEAR)
    assert np.abs(window(content, FORM, **box_of(box)) - np.asarray(expected).astype(int)).mean() < 2


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("mode", "options"),
    [("L", {}), ("RGB", {"progressive": True}), ("RGB", {"subsampling": 0}), ("RGB", {"keep_rgb": True}), ("CMYK", {})],
)
def test_every_kind_of_jpeg_has_the_pixels_that_pil_gives(mode, options, channels):
    content = saved(upright(jpeg(0, (48, 40)), mode), **options)
    plain = saved(upright(content, "RGB" if channels == 3 else "L"), "PNG")
    for box in BOXES:
        form = Form(32, 36, channels)
        np.testing.assert_array_equal(window(content, form, **box_of(box)), window(plain, form, **box_of(box)))


@pytest.mark.parametrize("content", [b"", b"no image", jpeg(0, (48, 40))[:-40], b"\x89PNG\r\n\x1a\n broken"])
def test_what_cannot_be_read_is_said(content):
    with pytest.raises(Unreadable):
        window(content, FORM, top=0, left=0, height=9, width=9)
