"""Machines whose speed is known: machines/<name>.yaml, written by `reslab calibrate`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pydantic
from pydantic import Field
from ruamel.yaml import YAML

from reslab import config
from reslab.config.schema import STRICT, Count, NonNegative, check, unknown
from reslab.errors import UserError, located

FOLDER = Path("machines")
UNITS = ("step", "operation", "gflop", "gbyte", "megapixel")
KINDS = {
    "measured": "measured there with this code",
    "published": "fitted to published times of another code",
    "predicted": "PREDICTED, not measured",
}


class Machine(pydantic.BaseModel):
    """How long a machine takes for each unit of work, how that is known, and how far off it was."""

    model_config = STRICT

    name: str
    device: str  # as in a run's record
    threads: Count | None = None  # of a CPU
    kind: Literal["measured", "published", "predicted"]
    note: str = ""
    made: dict[str, Any] = Field(default_factory=dict)  # when, with which versions
    seconds_per: dict[str, NonNegative]
    error: dict[str, Any] = Field(default_factory=dict)  # leaving one network out: mean and worst, in percent
    rows: list[dict[str, Any]] = Field(default_factory=list)  # what it was fitted to

    def summary(self) -> str:
        """Name, device, how it is known and how good it is, on one line."""
        threads = f", {self.threads} thread{'s' if self.threads > 1 else ''} a network" if self.threads else ""
        error = f"; left-out networks were off by {self.error['mean_percent']:.0f} % on average" if self.error else ""
        return f"{self.name} ({self.device}{threads}; {KINDS[self.kind]}{error})"


def names(folder: Path = FOLDER) -> list[str]:
    """The machines on file."""
    return sorted(path.stem for path in folder.glob("*.yaml"))


def read(name: str, folder: Path = FOLDER) -> Machine:
    """A machine by name; raises UserError for an unknown or damaged one."""
    if name not in names(folder):
        raise UserError(unknown(name, names(folder), "machine") + "; `reslab calibrate` measures this one")
    path = folder / f"{name}.yaml"
    with located(path):
        machine = check(Machine, config.read_yaml(path), "machine")
        if set(machine.seconds_per) != set(UNITS):
            raise UserError(f"machine.seconds_per: expected {', '.join(UNITS)}")
        return machine


def matching(hardware: Mapping, folder: Path = FOLDER) -> Machine | None:
    """The measurement of this hardware (device and, on a CPU, threads of a network), if there is one."""
    for name in names(folder):
        machine = read(name, folder)
        if machine.kind == "measured" and machine.device == hardware["device"] and machine.threads in (None, hardware["threads"]):
            return machine
    return None


def write(machine: Machine, folder: Path = FOLDER) -> Path:
    """Put a machine on file; returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{machine.name}.yaml"
    yaml = YAML()
    yaml.width = 120
    yaml.default_flow_style = None  # the rows on a line each
    with path.open("w") as file:
        yaml.dump(machine.model_dump(exclude_defaults=True), file)
    return path
