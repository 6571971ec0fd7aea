"""The sheet of confident mistakes: the right images in the right order, pixels enlarged without blur."""

import numpy as np

from reslab.report.predictions.file import Predictions
from reslab.report.predictions.mistakes import Mistake, most_confident, sheet

NAMES = ["cat", "dog", "ship"]
LABELS = np.array([0, 0, 1, 2])


def network(*rows) -> Predictions:
    return Predictions(np.log(np.array(rows)).astype(np.float32), LABELS, NAMES)


def test_the_surest_mistake_of_the_mean_comes_first():
    first = network([0.2, 0.7, 0.1], [0.05, 0.05, 0.9], [0.1, 0.8, 0.1], [0.3, 0.4, 0.3])
    second = network([0.3, 0.6, 0.1], [0.05, 0.05, 0.9], [0.6, 0.3, 0.1], [0.1, 0.1, 0.8])
    found = most_confident([first, second])
    assert [(mistake.image, mistake.true, mistake.predicted, mistake.networks) for mistake in found] == [
        (1, "cat", "ship", 2),
        (0, "cat", "dog", 2),
    ]
    assert [round(mistake.confidence, 3) for mistake in found] == [0.9, 0.65]
    assert [mistake.image for mistake in most_confident([first, second], most=1)] == [1]
    assert [mistake.image for mistake in most_confident([first])] == [1, 0, 3]


def test_a_network_without_answers_has_no_say():
    silent = Predictions(np.full((4, 3), np.nan, dtype=np.float32), LABELS, NAMES)
    speaking = network([0.2, 0.7, 0.1], [0.9, 0.05, 0.05], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8])
    assert [mistake.image for mistake in most_confident([silent, speaking])] == [0]
    assert most_confident([silent]) == []


def test_the_sheet_shows_the_images_pixel_by_pixel():
    images = np.zeros((4, 3, 8, 8), dtype=np.uint8)
    images[1] = np.random.default_rng(0).integers(0, 256, (3, 8, 8))
    page = np.asarray(sheet([Mistake(1, "cat", "ship", 0.9, 2)], images[[1]], "title", networks=3))
    shown = page[36:132, 10:106]
    np.testing.assert_array_equal(shown, images[1].transpose(1, 2, 0).repeat(12, 0).repeat(12, 1))
    assert (page[134:182] < 128).any()  # the caption


def test_the_sheet_has_eight_columns_and_room_for_long_names():
    grey = np.zeros((30, 1, 28, 28), dtype=np.uint8)
    name = "a class with a very long name indeed"
    short = sheet([Mistake(i, "a", "b", 0.5, 1) for i in range(20)], grey[:20], "", networks=1)
    long = sheet([Mistake(i, "a", name, 0.5, 1) for i in range(20)], grey[:20], "", networks=1)
    assert long.height == short.height  # as many rows
    assert long.width > short.width + 8 * 50
    assert sheet([], grey[:0], "no mistakes at all", networks=1).width > 80
