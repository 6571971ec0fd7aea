"""Reading YAML 1.2: every mistake becomes one line with its place."""

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from reslab.errors import UserError, first_line


def read_yaml(path: Path) -> Any:
    """Parse a YAML file; raises UserError for a missing file, bad syntax or a repeated key."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError("no such file; run from the repository root or give --params") from None
    except (IsADirectoryError, NotADirectoryError):
        raise UserError("not a file") from None
    except UnicodeDecodeError as error:
        raise UserError(f"not valid YAML: {first_line(error)}") from None
    return parse_yaml(text)


def parse_yaml(text: str) -> Any:
    """Parse YAML 1.2 (so that 1e-4 is a number); raises UserError for bad syntax or a repeated key."""
    try:
        return YAML(typ="safe", pure=True).load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise UserError(f"{place}{error.problem or 'not valid YAML'}".splitlines()[0]) from None
    except YAMLError as error:
        raise UserError(f"not valid YAML: {first_line(error)}") from None
