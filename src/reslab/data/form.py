"""The form of decoded images, and what is said of those that cannot be decoded; PIL is loaded where images are (decode.py)."""

from dataclasses import dataclass

from reslab.errors import UserError, shown


class Unreadable(ValueError):
    """The bytes of an image cannot be decoded; the text says why."""


@dataclass(frozen=True)
class Form:
    """The form of decoded images: `image_size` pixels a side, cut out of the image resized to `resize` on its shorter side."""

    image_size: int
    resize: int
    channels: int  # 3 (RGB) or 1 (grey)


def unreadable(name: str, reason: object) -> UserError:
    """The error that names an image which cannot be decoded."""
    return UserError(f"cannot read image {shown(name)} ({reason}); remove or mend it")
