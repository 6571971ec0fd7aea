"""The table of claims as the page shows it."""

import pandas as pd

from reslab.report.html.table import Table, table
from reslab.report.tables.claims import CLAIMS_NOTE, claims, claims_columns


def claims_tables(compared: pd.DataFrame | None, published: pd.DataFrame | None) -> list[Table]:
    """One table with every verdict of the study; none where the study claims nothing."""
    made = claims(compared, published)
    if made.empty:
        return []
    columns, sources = claims_columns(made), ("tables/claims.csv",)
    return [table("claims", "All claims of this study", columns, lambda heading, row: "", note=CLAIMS_NOTE, sources=sources)]
