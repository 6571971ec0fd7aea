"""A stranger's file of weights: the tensors in it are read, all else stands still, and no code of it ever runs.

torch's own reader of pickles that hold no code (`weights_only`) refuses a file as soon as anything but tensors is in it. Here the
other types are each replaced by an inert one of the same name, which keeps what it is given and does nothing.
"""

import pickle
import re
import struct
import warnings
import zipfile
import zlib
from collections import OrderedDict
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file

from reslab.errors import UserError, cut, first_line
from reslab.runs.sealed import METADATA_KEY
from reslab.weights.archive import opened
from reslab.weights.check import check_header

# What the readers raise for damaged and for hostile files; torch and zipfile promise no less.
DAMAGED = (
    *(RuntimeError, EOFError, ValueError, LookupError, TypeError, AttributeError, AssertionError, ArithmeticError, MemoryError),
    *(OSError, struct.error, zipfile.BadZipFile, zlib.error, ImportError, pickle.UnpicklingError, SafetensorError),
)
ENCRYPTED, DOS_FOLDER = 0x1, 0x10  # bits of a zip member's flags and attributes
MOST_TYPES = 200  # in one file
DATA = {
    "set",
    "frozenset",
    "dict",
    "list",
    "tuple",
    "complex",
    "slice",
    "range",
    "bytearray",
    "bytes",
    "int",
    "float",
    "str",
    "bool",
}
RUNS_CODE = {
    *("os", "posix", "nt", "sys", "subprocess", "shutil", "importlib", "runpy", "ctypes", "socket", "pty", "pickle", "_pickle"),
    *(
        "code",
        "codeop",
        "commands",
        "webbrowser",
        "multiprocessing",
        "asyncio",
        "pdb",
        "timeit",
        "operator",
        "marshal",
        "signal",
        "pip",
    ),
}
OPENS_FILES = {"io.open", "io.FileIO", "_io.open", "_io.FileIO"}
NOT_ALLOWED = re.compile(r"GLOBAL (\S+) was not an allowed global")
BLOCKED = re.compile(r"unsupported GLOBAL (\S+) whose module")
WRONG_KIND = re.compile(r"Can only (append|extend|SETITEM).* but got <class '([^']+)'>")


WHOLE_MODULE = (
    "holds Python code ({}), not only tensors: a whole module was saved; load it where its code is,"
    " `torch.save(model.state_dict(), 'weights.pt')`, and import that"
)

Kind = Literal["object", "mapping", "list"]


class Inert:
    """Stands for an object of another type, and does nothing."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state

    @property
    def is_network(self) -> bool:
        """Whether it was a torch module, saved whole."""
        return isinstance(self.state, dict) and "_parameters" in self.state


def read(path: Path) -> tuple[Any, list[str]]:
    """What a .safetensors file or a torch file holds, tensors on the CPU, and the names of the types that were not read.

    Raises UserError for a damaged file, and for one that asks for code.
    """
    try:
        if path.suffix == ".safetensors":
            check_header(path)
            return load_file(path), []
        check_archive(path)
        return _read_torch(path)
    except (UserError, PermissionError):
        raise
    except DAMAGED as error:
        if "TorchScript" in str(error):
            raise UserError("a TorchScript archive, which is code; save the state dict of the network instead") from error
        if "Only persistent_load of storage is allowed" in str(error):  # the form before torch 1.6 stored a module's source code
            raise UserError(WHOLE_MODULE.format("the classes of a network")) from error
        kind = "safetensors" if path.suffix == ".safetensors" else "torch"
        raise UserError(f"damaged, or not a {kind} file ({_reason(error)})") from error


def _reason(error: Exception) -> str:
    """The library's message; torch's reader puts it behind advice to trust the file."""
    text = str(error).partition("WeightsUnpickler error:")[2].strip() or first_line(error)
    return cut(text.partition("\n")[0])


def has_checksums(path: Path) -> bool:
    """Whether damage in a file that was read would be seen: in torch files since version 1.6, and in what reslab wrote."""
    if path.suffix != ".safetensors":
        return zipfile.is_zipfile(path)
    with safe_open(path, "pt") as file:
        return METADATA_KEY in (file.metadata() or {})


def check_archive(path: Path) -> None:
    """Compare the checksums in a torch file, which torch does not; raises UserError for damage or a zip that torch never writes."""
    if not zipfile.is_zipfile(path):
        return  # the form before torch 1.6 has none
    with opened(path) as archive:
        members = archive.infolist()
        plain = all(member.compress_type == zipfile.ZIP_STORED and not member.flag_bits & ENCRYPTED for member in members)
        if not plain or sum(member.file_size for member in members) > path.stat().st_size:
            raise UserError("a compressed or encrypted zip, not a torch file; unpack it and import what is in it")
        if any(member.external_attr & DOS_FOLDER for member in members):  # torch would read zeros in its place
            raise UserError("damaged: something in it is marked as a folder; fetch the file again")
        if (damaged := archive.testzip()) is not None:
            raise UserError(f"damaged: the checksum of {cut(damaged)} in it differs; fetch the file again")


def _read_torch(path: Path) -> tuple[Any, list[str]]:
    """Load again and again, each time with one more type made inert."""
    types: dict[str, Kind] = {}
    while True:
        allowed = torch.serialization.safe_globals([(inert(name, kind), name) for name, kind in types.items()])
        try:
            with warnings.catch_warnings(action="ignore"), allowed:  # of an unusual pickle protocol: it loads or it does not
                return torch.load(path, map_location="cpu", weights_only=True), sorted(types)
        except pickle.UnpicklingError as error:
            name, kind = _asked_for(str(error))
            if name is None or types.get(name) == kind:
                raise
            if len(types) == MOST_TYPES:
                raise UserError(f"holds objects of more than {MOST_TYPES} types beside tensors: not a file of weights") from error
            types[name] = kind


def _asked_for(message: str) -> tuple[str | None, Kind]:
    """The type that torch's reader refused, and what it must behave like; raises UserError for one that runs code."""
    if (wrong := WRONG_KIND.search(message)) is not None:
        return _whole(wrong[2]), "mapping" if wrong[1] == "SETITEM" else "list"
    asked = NOT_ALLOWED.search(message) or BLOCKED.search(message)
    if asked is None:
        return None, "object"
    name = _whole(asked[1])
    module, _, last = name.rpartition(".")
    root = module.partition(".")[0]
    if root in RUNS_CODE or name in OPENS_FILES or (root in ("builtins", "__builtin__") and last not in DATA):
        raise UserError(f"asks for {cut(name)} to be run when it is loaded, as no file of weights does; nothing was run")
    return name, "object"


def _whole(name: str) -> str:
    """The name with its module, which torch leaves out for Python's own types."""
    return name if "." in name else f"builtins.{name}"


def inert(name: str, kind: Kind) -> type:
    """A class of this name that does nothing; torch's reader fills only real mappings and lists, so those make one."""
    module, _, last = name.rpartition(".")
    made: dict[str, Any] = {"__module__": module}
    if kind != "object":
        empty = {"mapping": OrderedDict, "list": list}[kind]
        made["__new__"] = lambda cls, *args, **kwargs: empty()
    return type(last, (Inert,), made)
