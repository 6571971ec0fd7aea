"""Machines whose speed is known: machines/<name>.yaml, written by `reslab calibrate`."""

import difflib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from io import StringIO
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import pydantic
from pydantic import Field
from ruamel.yaml import YAML

from reslab import config
from reslab.config.schema import STRICT, Count, NonNegative, check, unknown
from reslab.errors import UserError, cut, located, plain
from reslab.storage import replace_text

FOLDER = Path("machines")
HEAD = ("device:", "threads:", "kind:")  # how the lines begin that tell a machine from others
KINDS = {
    "measured": "measured there with this code",
    "published": "fitted to published times of another code",
    "predicted": "PREDICTED, not measured",
    "guessed": "GUESSED: this machine is not measured, and this is the nearest that is known; `reslab calibrate` measures it",
}


class Work(NamedTuple):
    """Amounts of work that take time, of a step or of a whole run, in the units of a machine's `seconds_per`."""

    step: float
    operation: float
    gflop: float
    gbyte: float
    megapixel: float

    def plus(self, other: "Work", times: float) -> "Work":
        """The sum of both, the other one `times` over."""
        return Work(*(mine + times * theirs for mine, theirs in zip(self, other, strict=True)))

    def seconds(self, seconds_per: Mapping[str, float]) -> float:
        """The time it takes, given the seconds per unit."""
        return sum(amount * seconds_per[unit] for unit, amount in zip(self._fields, self, strict=True))


UNITS = Work._fields
Seconds = Annotated[float, Field(ge=0, le=1e6)]  # for a unit of work, of which the slowest machine does many a second


class FitError(pydantic.BaseModel):
    """How far off the estimates of networks are that were left out of the fit, in percent."""

    model_config = STRICT

    mean_percent: NonNegative
    worst_percent: NonNegative
    worst_network: str


class Machine(pydantic.BaseModel):
    """The seconds a machine takes for each unit of work, where they come from, and the error of the fit."""

    model_config = STRICT

    name: str
    device: str  # as in a run's record
    threads: Count | None = None  # of a CPU
    kind: Literal["measured", "published", "predicted"]  # of a copy that `likely` returns: guessed
    note: str = ""
    made: dict[str, Any] = Field(default_factory=dict)  # date and versions
    seconds_per: dict[str, Seconds]
    error: FitError | None = None
    rows: list[dict[str, Any]] = Field(default_factory=list)  # what it was fitted to

    def summary(self) -> str:
        """Name, device, where the numbers come from and their error, on one line."""
        threads = f", {self.threads} thread{'s' if self.threads > 1 else ''} a network" if self.threads else ""
        error = f"; left-out networks were off by {self.error.mean_percent:.0f} % on average" if self.error else ""
        return plain(f"{self.name} ({cut(self.device)}{threads}; {KINDS[self.kind]}{error})")


def names(folder: Path = FOLDER) -> list[str]:
    """The machines in the folder."""
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


class Head(NamedTuple):
    """What tells a machine from others."""

    name: str
    device: str
    threads: int | None = None
    kind: str = ""


def likely(hardware: Mapping, folder: Path = FOLDER) -> Machine | None:
    """The measurement of this hardware, or of the nearest that is known, marked as a guess; None without any."""
    known = [_head(name, folder) for name in names(folder)]
    if (found := matching(hardware, known)) is not None:
        return read(found.name, folder)
    found = nearest(hardware, known)
    return None if found is None else read(found.name, folder).model_copy(update={"kind": "guessed"})


def _head(name: str, folder: Path) -> Head:
    """The head of a machine, from three lines of its file: parsing all files whole would be a tenth of a command's time."""
    lines = (folder / f"{name}.yaml").read_text(encoding="utf-8", errors="replace").splitlines()
    with suppress(UserError, TypeError):
        return Head(name, **config.parse_yaml("\n".join(line for line in lines if line.startswith(HEAD))))
    whole = read(name, folder)  # written by hand, or damaged
    return Head(name, whole.device, whole.threads, whole.kind)


def matching(hardware: Mapping, known: Sequence[Head]) -> Head | None:
    """The measurement of this hardware (device and, on a CPU, threads of a network), if there is one."""
    for machine in known:
        if machine.kind == "measured" and machine.device == hardware["device"] and machine.threads in (None, hardware["threads"]):
            return machine
    return None


def nearest(hardware: Mapping, known: Sequence[Head]) -> Head | None:
    """The known machine of the same kind, a GPU or a CPU, that is most like this hardware; None without one.

    Measured ones come before others, then the likeness of the names and of the number of threads counts.
    """
    is_cpu = hardware["threads"] is not None

    def likeness(machine: Head) -> tuple[bool, bool, float]:
        alike = difflib.SequenceMatcher(None, machine.device.lower(), hardware["device"].lower()).ratio()
        return machine.kind == "measured", machine.threads == hardware["threads"], alike

    same_kind = [machine for machine in known if (machine.threads is not None) == is_cpu]
    return max(same_kind, key=likeness, default=None)


def write(machine: Machine, folder: Path = FOLDER) -> Path:
    """Write a machine's file; returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{machine.name}.yaml"
    yaml = YAML()
    yaml.width = 120
    yaml.default_flow_style = None  # the rows on a line each
    text = StringIO()
    yaml.dump(machine.model_dump(exclude_defaults=True), text)
    replace_text(path, text.getvalue())
    return path
