"""Tables of results side by side: what was changed, and what it brought."""

import math
from dataclasses import dataclass, replace

import pandas as pd

from reslab.config.report import MARGIN
from reslab.config.settings import Settings, flow
from reslab.report.sides import Side
from reslab.report.statistics.comparison import comparisons
from reslab.report.statistics.summary import summarize
from reslab.report.tables.cells import EMPTY, Cell, Columns, words
from reslab.report.tables.comparisons import number_of_tests, p_cell, points, span
from reslab.report.tables.results import error_cell, failures

DIGITS = 6
MOST_COLUMNS = 8  # settings and errors beside one another
MOST_NAMES = 6  # in a note
ABSENT = "-"
ERRORS = "Test error after the last epoch, mean ± std over seeds"
HEADINGS = ("setting", "error %")  # of a column that is no side
AT = " @ "  # no name of an experiment has it


@dataclass(frozen=True)
class SideBySide:
    """What `reslab compare` shows: tables of settings, of errors and of differences, what each is, and what else there is to say.

    `tests` says how the verdicts were reached, and is empty without any.
    """

    settings: Columns
    errors: Columns
    differences: Columns
    tests: str
    notes: list[str]


def side_by_side(sides: list[Side]) -> SideBySide:
    """Compare each with the first."""
    sides = [replace(side, name=f"'{side.name}'") if side.name in HEADINGS else side for side in sides]
    changed, same = _changed(sides)
    compared = _compared(sides, changed)
    errors = _errors(sides, changed) if changed else {}
    return SideBySide(_settings(sides), errors, _differences(compared, sides), _tests(compared, sides[0]), _notes(sides, same))


def _settings(sides: list[Side]) -> Columns:
    """The settings that are not the same on all sides, one a row."""
    rows = varied_settings([side.settings for side in sides])
    return {"setting": words(rows)} | {side.name: words(row[i] for row in rows.values()) for i, side in enumerate(sides)}


def varied_settings(sides: list[dict[str, Settings]]) -> dict[str, list[str]]:
    """Setting -> its values on the sides, of the experiments that all sides have.

    One row for all those whose setting differs, if they agree on each side, else a row each.
    """
    shared = [name for name in sides[0] if all(name in side for side in sides)]
    rows = {}
    for path in dict.fromkeys(path for name in shared for side in sides for path in side[name]):
        values = {name: [_setting(side[name], path) for side in sides] for name in shared}
        differing = {name: found for name, found in values.items() if len(set(found)) > 1}
        one = next(iter(differing.values()), [])
        if all(found == one for found in differing.values()):
            rows |= {path: one} if one else {}
        else:
            rows |= {f"experiments.{name}.{path}": found for name, found in differing.items()}
    return rows


def _setting(settings: Settings, path: str) -> str:
    return flow(settings[path], digits=DIGITS) if path in settings else ABSENT


def _errors(sides: list[Side], changed: list[str]) -> Columns:
    """The error of each experiment whose networks are not the same everywhere.

    One row a side with the settings that differ, as long as all fit beside one another; else one row an experiment.
    """
    found = [summarize(side.study, side.runs).set_index("experiment") for side in sides]
    settings = varied_settings([side.settings for side in sides])
    if len(settings) + len(changed) > MOST_COLUMNS:
        return {"error %": words(changed)} | {
            side.name: [_error(table, name) for name in changed] for side, table in zip(sides, found, strict=True)
        }
    columns = {"": words(side.name for side in sides)}
    columns |= {path: words(row) for path, row in settings.items()}
    return columns | {f"{name} %": [_error(table, name) for table in found] for name in changed}


def _error(summary: pd.DataFrame, name: str) -> Cell:
    """The mean error, and how many seeds are not in it: no other column has their number."""
    if name not in summary.index:
        return Cell(None, ABSENT)
    row = summary.loc[name]
    n, diverged, untrained = map(int, row[["n", "diverged", "untrained"]])
    cell = error_cell(row["mean"], row["std"], n, diverged, untrained)
    without = ", ".join(f"{count} of {n + diverged + untrained} {what}" for what, count in failures(diverged, untrained))
    return replace(cell, text=f"{cell.text} ({without})") if n and without else cell


def _changed(sides: list[Side]) -> tuple[list[str], list[str]]:
    """The experiments whose networks are not the same on all sides, and those of which they are."""
    names = dict.fromkeys(name for side in sides for name in side.study.experiments)
    networks = {name: {_networks(side, name) for side in sides} for name in names}
    return [name for name in names if len(networks[name]) > 1], [name for name in names if len(networks[name]) == 1]


def _networks(side: Side, experiment: str) -> tuple:
    """What tells the networks of an experiment from others: their identities, seeds and errors."""
    rows = side.runs[side.runs["experiment"] == experiment]
    return tuple(zip(rows["identity"], rows["seed"], rows["status"], rows["test_error"].astype(str), strict=True))


def _compared(sides: list[Side], changed: list[str]) -> pd.DataFrame | None:
    """Each changed experiment of each side against that of the first, where both ran it on the same data.

    Networks that several sides share, such as an experiment of DVC and the branch made of it, are one test and not many.
    """
    base = sides[0]
    pairs = [
        (f"{name}{AT}{side.name}", f"{name}{AT}{base.name}")
        for name in changed
        for side in sides[1:]
        if comparable(side, base) and all(name in one.study.experiments for one in (side, base))
        if _networks(side, name) != _networks(base, name) and _alike(sides, side.name, name)[0] == side.name
    ]
    if not pairs:
        return None
    runs = pd.concat([side.runs.assign(experiment=side.runs["experiment"] + AT + side.name) for side in sides])
    return comparisons(runs, pairs, margin=(base.study.report.margin or MARGIN) / 100)


def _alike(sides: list[Side], side: str, experiment: str) -> list[str]:
    """The names of all sides but the first whose networks of an experiment are those of a side, in their order."""
    networks = {one.name: _networks(one, experiment) for one in sides[1:]}
    return [name for name, found in networks.items() if found == networks[side]]


def comparable(side: Side, base: Side) -> bool:
    """Whether the networks of two sides were trained and tested on the same images, as far as their records say."""
    return side.datasets == base.datasets


def _differences(compared: pd.DataFrame | None, sides: list[Side]) -> Columns:
    """One row a difference, with its verdict; which side it is of where there are several."""
    if compared is None:
        return {}
    rows = compared.to_dict("records")
    named = [row["experiment"].split(AT, 1) for row in rows]
    return {
        "experiment": words(name for name, _ in named),
        **({"of": words(", ".join(_alike(sides, side, name)) for name, side in named)} if len(sides) > 2 else {}),
        verdict_heading(sides[0].name): words(row["verdict"] for row in rows),
        "difference, points": [points(row["difference"]) for row in rows],
        "95 % interval": [span(row["ci_low"], row["ci_high"], 100) for row in rows],
        "p (Holm)": [EMPTY if math.isnan(row["p_holm"]) else p_cell(row["p_holm"]) for row in rows],
    }


def verdict_heading(first: str) -> str:
    """The heading of the verdicts on the difference from the first side."""
    return f"verdict against {first}"


def _tests(compared: pd.DataFrame | None, base: Side) -> str:
    """How the verdicts were reached; empty without any."""
    if compared is None:
        return ""
    number = number_of_tests(compared)
    many = f"{number} test{'' if number == 1 else 's'}"
    tests = f"Verdicts by Welch's and Boschloo's tests after Holm's correction for the {many} here."
    return f"Difference: minus {base.name}, negative is better. {tests}"


def _notes(sides: list[Side], same: list[str]) -> list[str]:
    """What there is to say beside the tables."""
    notes = [f"The same networks on all sides: {', '.join(same)}."] if same else []
    for side in sides[1:]:
        notes += _alone(side, sides[0])
    for side in sides:
        if edited := side.edited:
            notes.append(
                f"{side.name}: params.yaml was changed after {', '.join(edited)} {'was' if len(edited) == 1 else 'were'} trained; "
                "shown is what was trained. `dvc repro` trains what params.yaml says."
            )
    return notes


def _alone(side: Side, base: Side) -> list[str]:
    """What two sides do not share."""
    notes = []
    if not comparable(side, base):
        notes.append(f"{side.name} has another dataset than {base.name}: there is no verdict on their errors.")
    for one, other in ((side, base), (base, side)):
        if only := [name for name in one.study.experiments if name not in other.study.experiments]:
            more = f" and {len(only) - MOST_NAMES} more" if len(only) > MOST_NAMES else ""
            notes.append(f"Only in {one.name}, not in {other.name}: {', '.join(only[:MOST_NAMES])}{more}.")
    return notes
