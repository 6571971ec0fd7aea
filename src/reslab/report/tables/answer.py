"""One sentence under the question of a study: what its comparisons answer, by their verdicts."""

import pandas as pd

NAMED = 3  # comparisons in one sentence: more are counted


def answer(compared: pd.DataFrame | None) -> str:
    """How many comparisons show a difference, which, and what is open; empty for a study that compares nothing.

    A verdict has a part on errors and one on failures; what either shows counts.
    """
    if compared is None or not len(compared):
        return ""
    shown, open_ones = [], []
    for row in compared.to_dict("records"):
        found = [part for part in str(row["verdict"]).split("; ") if _decided(part)]
        if found:
            shown.append(f"{row['experiment']} {_said(found)} {row['against']}")
        else:
            open_ones.append(f"{row['experiment']} against {row['against']}")
    total = f"{len(compared)} comparison{'s' if len(compared) != 1 else ''}"
    if not shown:
        return f"These runs do not settle it: of {total} none shows a difference or equality after Holm's correction."
    rest = "" if not open_ones else f"; open: {_some(open_ones)}"
    return f"Of {total} {len(shown)} {'is' if len(shown) == 1 else 'are'} settled: {_some(shown)}{rest}."


def _decided(part: str) -> bool:
    """Whether a part of a verdict is a finding."""
    return part in ("better", "worse") or (part.startswith(("the same", "failed")) and not part.endswith("undecided"))


def _said(parts: list[str]) -> str:
    words = []
    for part in parts:
        if part in ("better", "worse"):
            words.append(f"is {part} than")
        elif part.startswith("the same"):
            words.append(f"has {part} as" if part.startswith("the same error") else f"is {part} as")
        else:
            words.append(f"fails {part.rsplit(': ', 1)[1]} than")
    return " and ".join(words)


def _some(texts: list[str]) -> str:
    return ", ".join(texts[:NAMED]) + (f" and {len(texts) - NAMED} more" if len(texts) > NAMED else "")
