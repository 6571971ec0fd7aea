"""The table of all claims of a study: every verdict, with its p and the number of tests that it was corrected for."""

import math

import pandas as pd

from reslab.report.tables.cells import Cell, render, words
from reslab.report.tables.comparisons import number_of_tests, p_cell

COLUMNS = ["claim", "verdict", "p", "table", "tests"]
CLAIMS_NOTE = (
    "Every verdict of the study. p: the smallest p of the row, corrected (Holm) for all tests of its table, whose number is in "
    "brackets. Nothing is corrected across tables."
)


def claims(compared: pd.DataFrame | None, published: pd.DataFrame | None) -> pd.DataFrame:
    """One row a verdict: what was asked, the verdict, its corrected p, its table and the number of tests in that table."""
    rows = []
    if compared is not None and len(compared):
        tests = number_of_tests(compared)
        for row in compared.to_dict("records"):
            asked = f"{row['experiment']} against {row['against']}"
            rows.append((asked, row["verdict"], _least(row), "comparisons", tests))
    if published is not None and len(published):
        tests = number_of_tests(published)
        for row in published.to_dict("records"):
            asked = f"{row['experiment']} against the published {100 * row['published']:.2f} %"
            rows.append((asked, row["verdict"], _least(row), "published", tests))
    return pd.DataFrame(rows, columns=COLUMNS)


def _least(row: dict) -> float:
    """The smallest corrected p of a row; NaN where nothing was tested."""
    found = [row.get(key, math.nan) for key in ("p_holm", "equivalence_p_holm", "divergence_p_holm")]
    return min((p for p in found if not math.isnan(p)), default=math.nan)


def claims_columns(table: pd.DataFrame) -> dict[str, list[Cell]]:
    """Heading -> cells of the table of claims."""
    return {
        "claim": words(table["claim"]),
        "verdict": words(table["verdict"]),
        "p (Holm)": [p_cell(p) for p in table["p"]],
        "table": words(f"{row.table} ({row.tests} test{'s' if row.tests != 1 else ''})" for row in table.itertuples()),
    }


def claims_markdown(table: pd.DataFrame) -> str:
    """The table of claims and how to read it."""
    return render(claims_columns(table), note=CLAIMS_NOTE)
