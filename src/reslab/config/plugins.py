"""One's own code: `name: module:function` in params.yaml, from the project's folder plugins/ or from an installed package."""

import ast
import importlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pydantic

from reslab.config import schema
from reslab.config.schema import STRICT, unknown
from reslab.errors import PLUGINS as FOLDER
from reslab.errors import UserError, cut, first_line, in_plugins, shown

STAGES = Path("stages")  # first on the path of a stage's modules
NAME = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
NAMED = ("dataset", "normalize", "model", "loss", "optimizer", "schedule")  # sections of one name; augment is a list of them

# What the function of a section is called with, before its options.
CONTEXT: dict[str, tuple[str, ...]] = {
    "dataset": ("raw",),
    "normalize": ("facts",),
    "model": ("in_channels", "num_classes"),
    "augment": ("images", "draws"),
    "mixing": ("images", "labels", "draws"),
    "loss": ("class_counts",),
    "optimizer": ("model",),
    "schedule": ("budget",),
}


def is_own(name: object) -> bool:
    """Whether a `name` is one's own code: module:function, or timm:... and torchvision:..., whose networks are built by others."""
    return isinstance(name, str) and ":" in name


def names_in(sections: Mapping) -> list[str]:
    """The names of one's own code in sections of params.yaml, each once, in order."""
    parts = [sections.get(key) for key in NAMED] + list(sections.get("augment") or [])
    return list(dict.fromkeys(part["name"] for part in parts if isinstance(part, Mapping) and is_own(part.get("name"))))


def bind(kind: str, table: Mapping[str, Callable], spec: Any, where: str) -> Callable:
    """What a section's `name` stands for, with its options set: an entry of the table, or one's own `module:function`.

    It is to be called with what CONTEXT says of `kind`; its further parameters are the options. Raises UserError with the
    path, also for any error of one's own code.
    """
    spec = schema.named(spec, where)
    if not is_own(spec["name"]):
        return schema.bind(table, spec, where)
    name = spec["name"]
    found = function(name, where)
    options = {key: value for key, value in spec.items() if key != "name"}
    mixes = kind == "augment" and is_mixing(name, where)
    values = schema.check(_schema(found, name, "mixing" if mixes else kind, where), options, where)
    keywords = {key: getattr(values, key) for key in options}

    def construct(*context: Any) -> Any:
        with blamed(where, name):
            return found(*context, **keywords)

    return construct


@contextmanager
def blamed(where: str, name: str) -> Iterator[None]:
    """Any error of one's own code becomes a UserError of one line: the path, the place in the file, and what went wrong."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{where}: {error}") from error
    except Exception as error:
        raise UserError(f"{where}: {name} failed: {in_plugins(error) or said(error)}") from error


def said(error: BaseException) -> str:
    """An error as `TypeError: what is wrong`, on one line."""
    return f"{type(error).__name__}: {first_line(error)}" if str(error).strip() else type(error).__name__


def function(name: str, where: str) -> Callable:
    """What `module:function` names; raises UserError if there is none, or if the module cannot be imported."""
    if not NAME.fullmatch(name):
        raise UserError(f"{where}.name: {shown(name)} is not allowed: write module:function, such as my_nets:WideNet")
    module, _, attribute = name.partition(":")
    loaded = _module(module, f"{where}.name")
    found = getattr(loaded, attribute, None)
    if found is None:
        own = [key for key, value in vars(loaded).items() if callable(value) and getattr(value, "__module__", "") == module]
        raise UserError(f"{where}.name: {unknown(attribute, own, f'function of {module}')}")
    if not callable(found):
        raise UserError(f"{where}.name: {name} is a {type(found).__name__}, not a function or a class")
    return found


def _module(name: str, where: str) -> Any:
    path = file_of(name, where)
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        what = path if path.is_relative_to(FOLDER) else name
        raise UserError(f"{where}: {what} cannot be imported: {in_plugins(error) or said(error)}") from error


def file_of(module: str, where: str) -> Path:
    """The source of a module, in plugins/ or of an installed package, not yet imported; raises UserError if there is none."""
    own, root = plugin_file(module), module.partition(".")[0]
    if str(FOLDER.resolve()) not in sys.path:
        sys.path.append(str(FOLDER.resolve()))  # last: a plugin must not take the place of anything that is installed
        importlib.invalidate_caches()
    try:
        if own is not None:
            for name, file in _with_helpers(module).items():
                _check_is_found(name.partition(".")[0], file, where)
        spec = importlib.util.find_spec(root) and importlib.util.find_spec(module)
    except UserError:
        raise
    except (Exception, SystemExit) as error:  # a parent package is imported to find out
        raise UserError(f"{where}: {module} cannot be imported: {in_plugins(error) or said(error)}") from error
    if spec is None:
        there = sorted(path.stem for path in FOLDER.glob("*") if path.suffix == ".py" or (path / "__init__.py").exists())
        listed = unknown(module, there, "module") if there else f"unknown module {shown(module)}"
        raise UserError(f"{where}: {listed}; it is neither {FOLDER / module.replace('.', '/')}.py nor an installed package")
    return own or Path(spec.origin or "")


def _check_is_found(root: str, file: Path, where: str) -> None:
    """Raise UserError if Python would import something else by the name of a plugin, here or in a stage."""
    spec, stage = importlib.util.find_spec(root), STAGES / f"{root}.py"
    if stage.is_file() or not _is_below(spec, FOLDER.resolve()):
        place = stage if stage.is_file() else spec.origin if spec else "sys.modules"
        raise UserError(f"{where}: {file} has the name of another module ({place}); rename it")


def _is_below(spec: Any, folder: Path) -> bool:
    places = [*(getattr(spec, "submodule_search_locations", None) or []), getattr(spec, "origin", None) or ""]
    return any(folder in Path(place).parents for place in places)


def plugin_file(module: str) -> Path | None:
    """The source of a module in plugins/, if it is there."""
    stem = FOLDER.joinpath(*module.split("."))
    return next((path for path in (stem.with_suffix(".py"), stem / "__init__.py") if path.is_file()), None)


def sources(name: str, where: str) -> list[Path]:
    """The files that `module:function` is made of: its own with those of plugins/ that it imports, or its package's."""
    module = name.partition(":")[0]
    path = file_of(module, where)
    if plugin_file(module) is None:
        spec = importlib.util.find_spec(module.partition(".")[0])
        folders = getattr(spec, "submodule_search_locations", None) or []
        return sorted(found for folder in folders for found in Path(folder).rglob("*.py")) or [path]
    return sorted(_with_helpers(module).values())


def _with_helpers(module: str) -> dict[str, Path]:
    """A module of plugins/ and those of plugins/ that it imports, with their files."""
    waiting, found = [module], dict[str, Path]()
    while waiting:
        current = waiting.pop()
        if current not in found and (file := plugin_file(current)) is not None:
            found[current] = file
            waiting += _imports(file, current)
    return found


def _imports(path: Path, module: str) -> Iterator[str]:
    """The modules that a source may import, by every name that one of them could have."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # said when it is imported
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from _parents(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *filter(None, [node.module])])
            yield from _parents([base, *(f"{base}.{alias.name}" for alias in node.names)])


def _parents(modules: Sequence[str] | Iterator[str]) -> Iterator[str]:
    for parts in (module.split(".") for module in modules if module):
        yield from (".".join(parts[:length]) for length in range(1, len(parts) + 1))


def is_mixing(name: str, where: str) -> bool:
    """Whether an augmentation of one's own mixes the images of a batch: its second parameter is `labels`."""
    positional, _ = _parameters(function(name, where), name, where)
    return [parameter.name for parameter in positional[1:2]] == ["labels"]


def _parameters(found: Callable, name: str, where: str) -> tuple[list[inspect.Parameter], list[inspect.Parameter]]:
    """The parameters that are given by place, and those that are given by name only."""
    try:
        parameters = inspect.signature(found, eval_str=True).parameters.values()
    except Exception as error:
        raise UserError(f"{where}.name: the signature of {name} cannot be read ({said(error)})") from error
    by_place = [one for one in parameters if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
    return by_place, [one for one in parameters if one.kind is one.KEYWORD_ONLY]


@cache
def _schema(found: Callable, name: str, kind: str, where: str) -> type[pydantic.BaseModel]:
    """A strict model of all parameters after the context; raises UserError if it cannot be called with the context."""
    by_place, by_name = _parameters(found, name, where)
    context = CONTEXT[kind]
    if len(by_place) < len(context):
        raise UserError(
            f"{where}.name: {name} must take ({', '.join(context)}, *, options), but takes {cut(str(inspect.signature(found)))}"
        )
    fields = {
        one.name: (Any if one.annotation is one.empty else one.annotation, ... if one.default is one.empty else one.default)
        for one in [*by_place[len(context) :], *by_name]
    }
    try:
        return pydantic.create_model(name.replace(":", "_").replace(".", "_"), __config__=STRICT, **fields)
    except Exception as error:
        raise UserError(f"{where}.name: the options of {name} cannot be checked ({said(error)})") from error
