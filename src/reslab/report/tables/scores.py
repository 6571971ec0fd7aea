"""The scores of one network on several sets of images, for a terminal."""

import math
from collections.abc import Mapping

from tabulate import tabulate

from reslab.report.predictions.file import Predictions
from reslab.report.predictions.scores import Scores, score
from reslab.report.statistics.samples import wilson_interval
from reslab.report.tables.results import interval

COLUMNS = ("split", "images", "error", "95 % interval", "top-5 error", "loss", "calibration error")


def score_table(found: Mapping[str, Predictions]) -> str:
    """One row a set of images; the interval is Wilson's, over the draw of the images."""
    rows = [_row(name, score(answers.logits, answers.labels)) for name, answers in found.items()]
    columns = [place for place in range(len(COLUMNS)) if any(row[place] for row in rows)]
    shown = [[row[place] for place in columns] for row in rows]
    alignment = ["left" if place == 0 else "right" for place in columns]
    return tabulate(shown, [COLUMNS[place] for place in columns], disable_numparse=True, colalign=alignment)


def _row(name: str, found: Scores) -> list[str]:
    bounds = wilson_interval(round(found.error * found.images), found.images)
    percents = [("" if math.isnan(value) else f"{100 * value:.2f} %") for value in (found.error, found.top5_error, found.ece)]
    return [name, str(found.images), percents[0], interval(*bounds), percents[1], f"{found.loss:.4f}", percents[2]]
