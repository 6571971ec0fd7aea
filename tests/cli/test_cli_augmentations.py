"""`reslab augmentations`: the list names every step, the sheet shows every one."""

import io

import numpy as np
from PIL import Image

from reslab.cli.augmentations import ROWS, SHEET, TILE, augmentations, photographs, row, sheet
from reslab.data.augment.recipe import STEPS


def test_every_step_is_listed(capsys):
    augmentations()
    printed = capsys.readouterr().out
    assert {line.split(":")[0] for line in printed.splitlines() if not line.startswith(" ")} == set(STEPS)
    assert "mode=zero (zero, reflect)" in printed


def test_the_sheet_shows_every_step_and_the_shipped_one_is_it(repository):
    shown = {step["name"] for steps in ROWS for step in steps}
    assert shown == set(STEPS)
    made, shipped = (np.array(Image.open(file).convert("RGB")) for file in (io.BytesIO(sheet()), repository / SHEET))
    assert made.shape == shipped.shape
    assert np.abs(made.astype(int) - shipped).mean() < 8  # fonts and palettes differ between machines
    assert (repository / SHEET).stat().st_size < 400_000


def test_rows_show_what_their_recipe_makes_of_the_photographs():
    images = photographs()
    assert images.shape == (6, 3, TILE, TILE)
    ((name, plain),) = row([], images)
    assert name == "as they are"
    assert sorted(tile.tobytes() for tile in plain) == sorted(image.transpose(1, 2, 0).tobytes() for image in images)
    views = row([{"name": "dual_cutout", "size": 32}], images)
    assert [label.splitlines() for label, _ in views] == [["dual_cutout", "size: 32", f"view {view}"] for view in (1, 2)]
    kept = (views[0][1] == plain).all(3)
    assert len(np.unique(views[0][1][~kept], axis=0)) == 1  # the mean colour
    assert 0.6 < kept.mean() < 0.95
