"""Ready-made studies: studies/<name>.yaml says what differs from studies/defaults.yaml; one of them becomes params.yaml."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from reslab import config, provenance
from reslab.errors import UserError, located
from reslab.schema import unknown

FOLDER = Path("studies")
DEFAULTS = "defaults"
HEADER = """\
# The study: what is trained, on what, and how often. Every experiment is the sections below plus what its own lines change.
# `dvc repro` runs it; `dvc exp run -S model.tau=0.136` tries one change; `reslab select` puts another study here.
"""


def names(folder: Path = FOLDER) -> list[str]:
    """The studies that can be selected."""
    return sorted(path.stem for path in folder.glob("*.yaml") if path.stem != DEFAULTS)


def system(name: str) -> str:
    """Whose numbers a study holds: the first word of its name."""
    return name.partition("-")[0]


def compose(name: str, folder: Path = FOLDER) -> dict[str, Any]:
    """The whole params document of a study: the defaults with the study's lines laid over them, checked.

    Raises UserError for an unknown or faulty study.
    """
    if name not in names(folder):
        raise UserError(unknown(name, names(folder), "study", listing="`reslab studies` lists them"))
    path = folder / f"{name}.yaml"
    lines = _read(path)
    defaults = _read(folder / f"{DEFAULTS}.yaml")
    document = {"study": name} | {key: config.merge(value, lines.get(key, value)) for key, value in defaults.items()}
    document |= {key: value for key, value in lines.items() if key not in defaults}
    with located(path):
        config.parse(document)
    return {key: document[key] for key in config.STUDY_KEYS if key in document}


def _read(path: Path) -> Mapping:
    with located(path):
        content = config.read_yaml(path)
    if not isinstance(content, Mapping):
        raise UserError(f"{path}: expected a mapping, as in params.yaml")
    return content


def select(name: str, *, params: Path = Path("params.yaml"), folder: Path = FOLDER, force: bool = False) -> None:
    """Write a study into the params file.

    Raises UserError if that would overwrite edits that git does not have, unless `force`.
    """
    text = dump(compose(name, folder))
    if not force and params.exists() and params.read_text() != text and provenance.has_uncommitted_edits(params):
        raise UserError(f"{params} has edits that are not committed; commit them, or say --force to lose them")
    params.write_text(text)


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
