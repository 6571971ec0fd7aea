"""Names in tables are text, whatever they look like, and a damaged table is one line."""

import pandas as pd
import pytest

from reslab.errors import UserError
from reslab.tracking.results import read_table, read_verdicts, seed_statistics

NAMES = ["NA", "null", "nan", "020", "1e3", "true", "None", "inf", "0x10", "-"]


def test_names_come_back_as_they_were_written(tmp_path):
    table = pd.DataFrame({"experiment": NAMES, "mean": [0.25] * len(NAMES), "test_ece": [float("nan")] * len(NAMES)})
    table.to_csv(tmp_path / "results.csv", index=False)
    rows = read_table(tmp_path / "results.csv", "experiment")
    assert [row["experiment"] for row in rows] == NAMES
    assert seed_statistics(rows[0]) == {"seeds/error_mean": 0.25}


def test_verdicts_are_found_by_such_names(tmp_path):
    pd.DataFrame({"experiment": NAMES, "verdict": ["within"] * len(NAMES)}).to_csv(tmp_path / "published.csv", index=False)
    pairs = pd.DataFrame({"experiment": NAMES, "against": NAMES[::-1], "verdict": ["better"] * len(NAMES)})
    pairs.to_csv(tmp_path / "comparisons.csv", index=False)
    found = read_verdicts(tmp_path)
    assert list(found) == NAMES
    assert found["NA"] == {"verdict.published": "within", "verdict.against.-": "better"}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"mean\n0.5\n",
        b"experiment,mean\nNA\n",
        b"experiment\n\xff\n",
        b'experiment\n"NA\n',
        b"experiment\n\0\n" + b"x" * 200_000,
    ],
    ids=["empty", "other columns", "a short row", "no UTF-8", "an open quote", "one long field"],
)
def test_a_damaged_table_is_one_line(tmp_path, content):
    (tmp_path / "results.csv").write_bytes(content)
    with pytest.raises(UserError, match="damaged"):
        read_table(tmp_path / "results.csv", "experiment")


def test_a_number_that_is_none_is_said():
    with pytest.raises(UserError, match="'much' is not a number"):
        seed_statistics({"mean": "much"})
