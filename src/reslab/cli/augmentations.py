"""The command that lists the augmentations, and draws a sheet of each on real images."""

import io
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reslab.cli.app import REFERENCE, app
from reslab.cli.text import first_sentence, options
from reslab.config.settings import flow

if TYPE_CHECKING:
    import numpy as np

SHEET = Path("docs/augmentations.png")
TILE = 64  # pixels a side
MARGIN = 1.5  # for the labels, inches
SEED = 690  # one where the batch-wide numbers of mixup, cutmix and ricap are not extreme

# Rows of the sheet: the step with its options, after normalisation or before.
MARKER = {"name": "normalize"}
ROWS: list[list[dict]] = [
    [],
    [{"name": "flip"}],
    [{"name": "pad_crop", "padding": 8}],
    [MARKER, {"name": "pad_crop", "padding": 8}],
    [{"name": "pad_crop", "padding": 8, "mode": "reflect"}],
    [{"name": "random_resized_crop"}],
    [{"name": "scale_jitter"}],
    [{"name": "cutout", "size": 32}],
    [MARKER, {"name": "cutout", "size": 32, "inside": True}],
    [{"name": "random_erasing", "probability": 1.0}],
    [{"name": "random_erasing", "probability": 1.0, "fill": "pixels"}],
    [{"name": "colour_jitter", "hue": 0.1}],
    [{"name": "lighting", "std": 1.0}],
    [{"name": "trivial_augment"}],
    [{"name": "rand_augment"}],
    [{"name": "mixup"}],
    [{"name": "cutmix"}],
    [{"name": "cutmix", "level": "image"}],
    [{"name": "ricap"}],
    [{"name": "ricap", "level": "image"}],
    [{"name": "dual_cutout", "size": 32}],
]


@app.command(rich_help_panel=REFERENCE)
def augmentations(
    write: Annotated[bool, typer.Option("--write", help=f"Write {SHEET}: every augmentation on photographs.")] = False,
) -> None:
    """List the augmentations and mixings with their options."""
    if write:
        SHEET.parent.mkdir(parents=True, exist_ok=True)
        SHEET.write_bytes(sheet())
        print(f"wrote {SHEET}")
        return
    from reslab.data.augment.recipe import STEPS

    for name, function in STEPS.items():
        print(f"{name}: {first_sentence(function)}")
        if shown := options(function):
            print(f"    {shown}")


def sheet() -> bytes:
    """A PNG with a row for each of ROWS: the same photographs, as a batch of that recipe has them."""
    from matplotlib.figure import Figure

    images = photographs()
    rows = [(label, tiles) for steps in ROWS for label, tiles in row(steps, images)]
    figure = Figure(figsize=(MARGIN + len(images) * 0.68, len(rows) * 0.68), dpi=96)
    grid = figure.subplots(len(rows), len(images), gridspec_kw={"wspace": 0.04, "hspace": 0.04})
    figure.subplots_adjust(left=MARGIN / figure.get_figwidth(), right=0.998, top=0.998, bottom=0.002)
    for axes, (label, tiles) in zip(grid, rows, strict=True):
        axes[0].text(-0.06, 0.5, label, transform=axes[0].transAxes, ha="right", va="center", fontsize=8)
        for axis, tile in zip(axes, tiles, strict=True):
            axis.imshow(tile, interpolation="nearest")
            axis.set_axis_off()
    return few_colours(figure)


def few_colours(figure: object) -> bytes:
    """The figure as a PNG of 256 colours: photographs still look good, at a third of the size."""
    from PIL import Image

    whole, small = io.BytesIO(), io.BytesIO()
    figure.savefig(whole, format="png")
    Image.open(whole).convert("RGB").quantize(256, kmeans=1).save(small, format="png", optimize=True)
    return small.getvalue()


def row(steps: list[dict], images: "np.ndarray") -> list[tuple[str, "np.ndarray"]]:
    """The batch that a recipe makes of the images, as (label, uint8 (N, H, W, 3)); one for each view."""
    import numpy as np
    import torch

    from reslab.data.augment.recipe import recipe
    from reslab.data.batches.order import Order
    from reslab.data.batches.resident import Resident
    from reslab.data.batches.training import TrainingBatches
    from reslab.data.normalize import Normalize
    from reslab.data.prepared.splits import Arrays
    from reslab.data.prepared.statistics import channel_statistics

    (mean, std), made, cpu = channel_statistics(images), recipe(steps), torch.device("cpu")
    normalize = Normalize(mean, std, device=cpu, dtype=torch.float32)
    raw = Resident(Arrays(images, np.arange(len(images))), Order(len(images), len(images), SEED), cpu)
    batch, _ = next(TrainingBatches(raw, made, normalize).iterate(1))
    views = batch.unbind(1) if batch.dim() == 5 else [batch]
    pixels = [((view - normalize.offset) / normalize.scale).round().clamp(0, 255).byte().permute(0, 2, 3, 1) for view in views]
    return [(label(steps, view if len(views) > 1 else None), tiles.numpy()) for view, tiles in enumerate(pixels)]


def label(steps: list[dict], view: int | None) -> str:
    """The name of a row's step, its options and its place."""
    if not steps:
        return "as they are"
    settings = [f"{key}: {flow(value)}" for key, value in steps[-1].items() if key not in ("name", "probability")]
    settings += ["after normalize"] if steps[0] == MARKER else []
    settings += [] if view is None else [f"view {view + 1}"]
    return "\n".join([steps[-1]["name"], *settings])


def photographs() -> "np.ndarray":
    """Six squares of scikit-learn's two photographs, uint8 (6, 3, TILE, TILE)."""
    import numpy as np
    from PIL import Image
    from sklearn.datasets import load_sample_images

    temple, flower = load_sample_images().images  # 427 x 640
    places = [(0, 0, 400), (27, 220, 400), (120, 330, 220)]
    squares = [photograph[top : top + side, left : left + side] for photograph in (temple, flower) for top, left, side in places]
    return np.stack([np.array(Image.fromarray(square).resize((TILE, TILE))).transpose(2, 0, 1) for square in squares])
