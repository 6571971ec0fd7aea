"""Names in params.yaml that become folders, DVC stages and columns of tables: what they may be."""

import re
from collections.abc import Mapping
from typing import Any

from reslab.errors import UserError, shown

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
LONGEST = 60
ALLOWED = f"1 to {LONGEST} letters, digits, - and _, the first a letter or digit (it becomes a folder and a DVC stage)"


def check_name(name: Any, where: str) -> str:
    """The name, if it is one; raises UserError."""
    if not isinstance(name, str):
        raise UserError(f"{where}: {shown(name)} is not text in YAML: put it in quotes if it is meant as a name")
    if len(name) > LONGEST or not NAME.fullmatch(name):
        raise UserError(f"{where}: {shown(name)} is not a name: {ALLOWED}")
    return name


def check_experiments(document: Any) -> Mapping:
    """The experiments of a params document, their names checked; raises UserError."""
    rows = document.get("experiments") if isinstance(document, Mapping) else None
    if not isinstance(rows, Mapping) or not rows:
        raise UserError("experiments: expected at least one, as `name: {what differs from the sections above}`")
    seen: dict[str, str] = {}
    for key in rows:
        name = check_name(key, "experiments")
        if (other := seen.setdefault(name.lower(), name)) != name:
            raise UserError(f"experiments: {other} and {name} differ in capitals only: on some disks they are one folder")
    return rows
