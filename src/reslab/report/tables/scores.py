"""The scores of one network on several sets of images, for a terminal."""

from collections.abc import Mapping

from reslab.report.predictions.file import Predictions
from reslab.report.predictions.scores import score
from reslab.report.statistics.samples import wilson_interval
from reslab.report.tables.cells import interval, numbers, terminal, words


def score_table(found: Mapping[str, Predictions]) -> str:
    """One row a set of images; the interval is Wilson's, over the draw of the images. A score that none has is left out."""
    scores = [score(answers.logits, answers.labels) for answers in found.values()]
    bounds = [wilson_interval(round(row.error * row.images), row.images) for row in scores]
    columns = {
        "split": words(found),
        "images": numbers(row.images for row in scores),
        "error": numbers((100 * row.error for row in scores), "{:.2f} %"),
        "95 % interval": [interval(*pair) for pair in bounds],
        "top-5 error": numbers((100 * row.top5_error for row in scores), "{:.2f} %"),
        "loss": numbers((row.loss for row in scores), "{:.4f}"),
        "calibration error": numbers((100 * row.ece for row in scores), "{:.2f} %"),
    }
    return terminal({heading: column for heading, column in columns.items() if any(cell.text for cell in column)})
