"""The table of the hardest classes."""

import pandas as pd

from reslab.report.tables.cells import Cell, percent, render, words

MOST = 3  # classes, and confusions, of an experiment
CLASSES_NOTE = "Over all test images and all seeds that trained; every class is in classes.csv."


def classes_columns(table: pd.DataFrame, confused: pd.DataFrame) -> dict[str, list[Cell]]:
    """Heading -> cells: the hardest classes of each experiment, and its most frequent confusions."""
    names = table["experiment"].unique()
    hardest = [
        group[group["error"] > 0].sort_values("error", ascending=False, kind="stable")
        for _, group in table.groupby("experiment", sort=False)
    ]
    taken = [confused[confused["experiment"] == name] for name in names]
    return {
        "experiment": words(names),
        "hardest classes (error %)": words(_listed(rows, "{class} ({error})") for rows in hardest),
        "most frequent confusions (% of the class)": words(_listed(rows, "{true} as {predicted} ({share})") for rows in taken),
    }


def classes_markdown(table: pd.DataFrame, confused: pd.DataFrame) -> str:
    """The table of the hardest classes."""
    return render(classes_columns(table, confused), note=CLASSES_NOTE)


def _listed(rows: pd.DataFrame, form: str) -> str:
    """The first rows as words, fractions among them in percent."""
    fractions = {key: rows[key].map(lambda value: percent(value, 1)) for key in ("error", "share") if key in rows}
    return ", ".join(form.format(**row) for row in rows.assign(**fractions).head(MOST).to_dict("records"))
