"""The most confident mistakes of an experiment as an image sheet."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from reslab.report.predictions.file import Predictions
from reslab.report.predictions.scores import answered

COLUMNS, MOST = 8, 40
SIDE = 96  # pixels that an enlarged image has at least
MARGIN, LINE = 10, 16
INK, PALE = "#1a1a1a", "#666666"


@dataclass(frozen=True)
class Mistake:
    """An image with its true and predicted class, the confidence, and the number of networks that predict it."""

    image: int
    true: str
    predicted: str
    confidence: float
    networks: int


def most_confident(networks: Sequence[Predictions], most: int = MOST) -> list[Mistake]:
    """Images that the networks' mean probability answers wrongly, most confident first; networks with no answer are left out."""
    saying = [network for network in networks if answered(network.logits).all()]
    if not saying:
        return []
    labels, names = saying[0].labels, saying[0].class_names
    mean = np.mean([network.probabilities for network in saying], axis=0)
    guess, confidence = mean.argmax(1), mean.max(1)
    missed = np.flatnonzero(guess != labels)
    order = missed[np.argsort(-confidence[missed], kind="stable")][:most]
    agreeing = np.sum([network.answers == guess for network in saying], axis=0)
    return [Mistake(int(i), names[labels[i]], names[guess[i]], float(confidence[i]), int(agreeing[i])) for i in order]


def sheet(mistakes: Sequence[Mistake], pictures: np.ndarray, title: str, *, networks: int) -> Image.Image:
    """Draw mistakes, each with its picture of uint8 (n, C, H, W): pixels enlarged by a whole number, the caption beneath."""
    font, small = ImageFont.load_default(12), ImageFont.load_default(11)
    captions = [_caption(mistake, networks) for mistake in mistakes]
    height, width = pictures.shape[2:]
    scale = max(1, -(-SIDE // max(height, width)))
    widest = max((font.getlength(line) for caption in captions for line in caption), default=0)
    cell = max(width * scale, int(widest) + 1) + MARGIN, height * scale + 3 * LINE + MARGIN
    columns = min(COLUMNS, max(1, len(mistakes)))
    rows = -(-len(mistakes) // columns)
    across = max(columns * cell[0], int(font.getlength(title)) + MARGIN) + MARGIN
    page = Image.new("RGB", (across, 2 * MARGIN + LINE + rows * cell[1]), "white")
    draw = ImageDraw.Draw(page)
    draw.text((MARGIN, MARGIN), title, fill=INK, font=font)
    for position, (picture, caption) in enumerate(zip(pictures, captions, strict=True)):
        left, top = MARGIN + position % columns * cell[0], 2 * MARGIN + LINE + position // columns * cell[1]
        page.paste(_enlarged(picture, scale), (left, top))
        for line, text in enumerate(caption):
            place = (left, top + height * scale + 1 + line * LINE)
            draw.text(place, text, fill=INK if line == 0 else PALE, font=font if line == 0 else small)
    return page


def _caption(mistake: Mistake, networks: int) -> list[str]:
    lines = [f"as {mistake.predicted}: {100 * mistake.confidence:.0f} %", f"is {mistake.true}"]
    return lines if networks == 1 else [*lines, f"{mistake.networks} of {networks} seeds"]


def _enlarged(pixels: np.ndarray, scale: int) -> Image.Image:
    """uint8 (C, H, W), grey or RGB."""
    image = Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0))
    return image.convert("RGB").resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST)
