"""A part of an encoded image at the size that a network takes: what training on images in files decodes, over and over.

libjpeg-turbo decodes usual JPEGs straight into an array, by simplejpeg, and torch resizes bytes: both compute with whole
numbers, which gives the same bytes on every processor, in half the time of PIL. All other images are decoded by PIL.
"""

from math import ceil

import numpy as np
import simplejpeg
import torch
from PIL import Image
from torch.nn.functional import interpolate

from reslab.data.decode import header, pixels_of, reading, rows_of, turn_of, upright_shape
from reslab.data.form import Form

COLOURS = {"RGB": "RGB", "L": "GRAY"}  # PIL's name -> simplejpeg's
SMALLER = 2  # at least so many times, or decoding smaller takes longer than decoding whole


def window(content: bytes, form: Form, *, top: int, left: int, height: int, width: int) -> np.ndarray:
    """A window of the image resized to uint8 (S, S, channels); raises Unreadable.

    A JPEG is decoded smaller where the window is at least twice as large as needed on both sides; the window's edges are then
    the nearest ones between two pixels.
    """
    side = form.image_size
    with reading():
        image = header(content)
        pixels = _by_turbo(content, image, form.channels, times=min(height, width) / side)
        rows, columns = upright_shape(image)
        if pixels is None:
            pixels = rows_of(pixels_of(image, form.channels), form.channels)
    down, across = pixels.shape[0] / rows, pixels.shape[1] / columns
    y, x = (
        slice(round(at * scale), round((at + long) * scale)) for at, long, scale in ((top, height, down), (left, width, across))
    )
    return _resized(np.require(pixels[y, x], requirements=["C", "W"]), side)  # torch warns of what is read-only


def _by_turbo(content: bytes, image: Image.Image, channels: int, *, times: float) -> np.ndarray | None:
    """The upright pixels (H, W, channels) of a JPEG that is whole and of these colours, up to `times` smaller; else None."""
    mode = "RGB" if channels == 3 else "L"
    if image.format not in ("JPEG", "MPO") or image.mode != mode:
        return None
    smaller = {}
    if times >= SMALLER:
        smaller = {"min_width": ceil(image.width / times), "min_height": ceil(image.height / times), "min_factor": SMALLER}
    try:
        pixels = simplejpeg.decode_jpeg(content, COLOURS[mode], **smaller)
    except ValueError:  # PIL takes what libjpeg only warns of, and says what is wrong
        return None
    turn = turn_of(image)
    return (
        pixels if turn is None else rows_of(Image.fromarray(pixels[..., 0] if channels == 1 else pixels).transpose(turn), channels)
    )


def _resized(pixels: np.ndarray, side: int) -> np.ndarray:
    """Antialiased as by torchvision for tensors; at most one level of 255 from PIL's, which rounds in between in another way."""
    image = torch.from_numpy(pixels)[None].permute(0, 3, 1, 2)  # with strides that torch knows as channels_last: it stays so
    small = interpolate(image, (side, side), mode="bilinear", antialias=True)
    return small[0].permute(1, 2, 0).numpy()
