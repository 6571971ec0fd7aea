"""Decoding: torchvision's bytes where torchvision has the same thing, and the same bytes by each way to them."""

import io

import numpy as np
import pytest
from pictures import jpeg
from PIL import Image
from torchvision import transforms

from reslab.data.decode import Form, Unreadable, as_evaluated, centre, corners, decode, opened, window
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


@pytest.mark.parametrize("box", [(0, 0, 40, 48), (3, 5, 20, 30), (0, 0, 32, 32), (7, 2, 32, 32), (39, 47, 1, 1)])
def test_a_window_is_torchvisions_resized_crop(box):
    """To the bit, where nothing is decoded smaller."""
    content = jpeg(0, (48, 40))
    top, left, height, width = box
    cut = window(content, FORM, top=top, left=left, height=height, width=width)
    expected = transforms.functional.resized_crop(pil(content), top, left, height, width, size=[32, 32])
    np.testing.assert_array_equal(cut, np.asarray(expected))


def test_a_large_jpeg_is_decoded_smaller_but_never_too_small():
    content = jpeg(0, (1000, 601))
    assert opened(content, 3).size == (1000, 601)
    assert opened(content, 3, least=(125, 75)).size == (125, 76)
    assert opened(content, 3, least=(126, 75)).size == (250, 151)
    assert opened(content, 3, least=(501, 100)).size == (1000, 601)
    whole = {"top": 0, "left": 0, "height": 601, "width": 1000}
    expected = np.asarray(pil(content).resize((32, 32), Image.Resampling.BILINEAR)).astype(int)
    assert np.abs(window(content, FORM, **whole) - expected).mean() < 2
    edge = window(content, FORM, top=301, left=500, height=300, width=500)
    expected = np.asarray(pil(content).crop((500, 301, 1000, 601)).resize((32, 32), Image.Resampling.BILINEAR)).astype(int)
    assert np.abs(edge - expected).mean() < 2


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
    with pytest.raises(Unreadable):
        window(content, FORM, top=0, left=0, height=9, width=9)
    for resize in (None, 36):
        with pytest.raises(UserError, match=r"cannot read image 'x\.jpg'"):
            as_evaluated(content, [3, 32, 32], resize, name="x.jpg")


def test_without_a_resize_the_whole_image_is_taken():
    content = jpeg(0, (48, 40))
    np.testing.assert_array_equal(
        as_evaluated(content, [3, 32, 32], None, name="x"), decode(content, size=(32, 32), channels=3, name="x")
    )
