"""Ready-made studies: studies/<name>.yaml holds what differs from studies/defaults.yaml; one of them becomes params.yaml."""

import fnmatch
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from reslab import config, git
from reslab.config.schema import unknown
from reslab.config.yaml import read_bytes
from reslab.errors import UserError, check_output, check_plain, located
from reslab.storage import replace_text

FOLDER = Path("studies")
DEFAULTS = "defaults"
HEADER = """\
# The study: what is trained, on what, and how often. Every experiment is the sections below plus what its own lines change.
# `dvc repro` runs it; `dvc exp run -S model.tau=0.136` tries one change; `reslab select` puts another study here.
"""


def names(folder: Path = FOLDER) -> list[str]:
    """The studies that can be selected."""
    return sorted(path.stem for path in folder.glob("*.yaml") if path.stem != DEFAULTS)


def present(folder: Path = FOLDER) -> list[str]:
    """The studies that can be selected; raises UserError if there are none: the command runs elsewhere."""
    if not (found := names(folder)):
        raise UserError(f"{folder}/: no such folder here, or no study in it; run from the root of the repository")
    return found


def system(name: str) -> str:
    """Whose numbers a study holds: the first word of its name."""
    return name.partition("-")[0]


def title(name: str, folder: Path = FOLDER) -> str:
    """A study's title, read without parsing the rest: the shell waits for it."""
    try:
        lines = content(name, folder).decode().splitlines()
    except ValueError:  # what is wrong with it is said by whoever uses it
        return ""
    return next((line.partition(":")[2].strip(' "') for line in lines if line.startswith("  title:")), "")


def content(name: str, folder: Path = FOLDER) -> bytes:
    """The bytes of a study's file; raises UserError for one that cannot be read or is too large."""
    path = folder / f"{name}.yaml"
    with located(path):
        return read_bytes(path)


def compose(name: str, folder: Path = FOLDER) -> dict[str, Any]:
    """The whole params document of a study: the defaults with the study's lines laid over them, checked.

    Raises UserError for an unknown or faulty study.
    """
    if name not in present(folder):
        raise UserError(unknown(name, names(folder), "study", listing="`reslab studies` lists them"))
    path = folder / f"{name}.yaml"
    lines = _read(path)
    defaults = _read(folder / f"{DEFAULTS}.yaml")
    document = {"study": name} | {key: config.merge(value, lines.get(key, value)) for key, value in defaults.items()}
    document |= {key: value for key, value in lines.items() if key not in defaults}
    with located(path):
        config.parse(document)
    return {key: document[key] for key in config.STUDY_KEYS if key in document}


def lines_of(name: str, folder: Path = FOLDER) -> Mapping:
    """The lines of a study itself, without the defaults."""
    return _read(folder / f"{name}.yaml")


def _read(path: Path) -> Mapping:
    with located(path):
        content = config.read_yaml(path)
    if not isinstance(content, Mapping):
        raise UserError(f"{path}: expected a mapping, as in params.yaml")
    return content


def subset(document: Mapping, *, rows: Sequence[str] | None = None, seeds: Sequence[int] | None = None) -> dict[str, Any]:
    """A study with fewer experiments, by name or by patterns such as `resnet*`, and with other seeds.

    Raises UserError for a pattern that no experiment matches.
    """
    smaller = dict(document)
    if seeds is not None:
        smaller["seeds"] = list(seeds)
    if rows is not None:
        chosen = matching(document["experiments"], rows)
        smaller["experiments"] = {name: document["experiments"][name] for name in chosen}
        smaller["report"] = _about(document.get("report") or {}, chosen)
    config.parse(smaller)
    return smaller


def matching(names: Iterable[str], patterns: Sequence[str]) -> list[str]:
    """The names that some pattern matches, in their order; raises UserError for a pattern that matches none."""
    names = list(names)
    for pattern in patterns:
        if not fnmatch.filter(names, pattern):
            raise UserError(f"rows: {unknown(pattern, names)}")
    return [name for name in names if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)]


def _about(report: Mapping, chosen: list[str]) -> dict[str, Any]:
    """A study's report section with the published numbers and the comparisons of the chosen experiments only."""
    published = {name: value for name, value in report.get("published", {}).items() if name in chosen}
    compare = report.get("compare")
    if compare and compare.get("baseline") not in chosen:  # without pairs it would be each with the first one: not what was asked
        compare = {"pairs": [pair for pair in compare.get("pairs") or [] if set(pair) <= set(chosen)]}
    kept = {key: value for key, value in {"published": published, "compare": compare}.items() if value}
    return {key: value for key, value in report.items() if key not in ("published", "compare")} | kept


def select(document: Mapping, *, params: Path = Path("params.yaml"), force: bool = False) -> None:
    """Write a composed study into the params file.

    Raises UserError if that would overwrite edits that git does not have, or cannot tell of, unless `force`.
    """
    text = dump(document)
    check_output(params)
    check_plain(params)
    size = params.stat().st_size if params.exists() else None
    differs = size is not None and (size != len(text.encode()) or params.read_bytes() != text.encode())
    if not force and differs and (reason := git.why_not_committed(params)):
        raise UserError(f"{params} {reason}; commit them, or pass --force to discard them")
    replace_text(params, text)


def dump(document: Mapping) -> str:
    """A params document as YAML with block lists, the form that `dvc exp run -S` leaves behind too."""
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.width = 120
    parts = []
    for key, value in document.items():
        out = io.StringIO()
        yaml.dump({key: value}, out)
        parts.append(out.getvalue())
    return HEADER + "\n".join(parts)
