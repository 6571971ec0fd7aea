"""The commands of this folder, each loaded when it is run: lists of them are made from their sources, which are not imported."""

import ast
import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from typer.core import TyperCommand, TyperGroup
from typer.main import get_command_from_info

FOLDER = Path(__file__).parent
APP = "app"  # the name under which the files of this folder import it: @app.command(...)
PANELS = {
    "USE": "Studies",
    "REFERENCE": "What params.yaml may hold",
    "WEIGHTS": "Weights",
    "UPKEEP": "Upkeep",
}  # of --help, in order, by the names of their constants


@dataclass(frozen=True)
class Listed:
    """What a source says of a command."""

    module: str
    panel: str
    help: str


@cache
def listed() -> dict[str, Listed]:
    """Name -> command, those of one panel together."""
    found = {}
    for module, source in _sources():
        found |= _in_source(source, module)
    panels = list(PANELS.values())
    return dict(sorted(found.items(), key=lambda item: panels.index(item[1].panel)))


def module_of(name: str) -> str | None:
    """The module of a command, or None; sources that do not have its name need not be parsed, which takes most of the time."""
    words = (f'"{name}"', f"def {name.replace('-', '_')}(")
    likely = (one for one in _sources() if any(word in one[1] for word in words))
    return next((module for module, source in likely if name in _in_source(source, module)), None)


def _sources() -> Iterator[tuple[str, str]]:
    """The files of this folder: the name of each module below this package, and its text."""
    for path in sorted([*FOLDER.glob("*.py"), *FOLDER.glob("*/__init__.py")]):
        module = ".".join(path.relative_to(FOLDER).with_suffix("").parts).removesuffix(".__init__")
        yield module, path.read_text(encoding="utf-8")


def _in_source(source: str, module: str) -> dict[str, Listed]:
    """The functions with `@app.command("name", rich_help_panel=PANEL)`; without a name, it is that of the function."""
    found = {}
    if f"@{APP}.command(" not in source:
        return found
    for node in ast.parse(source).body:
        for call in getattr(node, "decorator_list", []):
            if isinstance(call, ast.Call) and ast.unparse(call.func) == f"{APP}.command":
                name = ast.literal_eval(call.args[0]) if call.args else node.name.replace("_", "-")
                panel = next(ast.unparse(keyword.value) for keyword in call.keywords if keyword.arg == "rich_help_panel")
                found[name] = Listed(module, PANELS[panel], ast.get_docstring(node) or "")
    return found


class Loading(Mapping):
    """Name -> command, whose file is imported when it is asked for."""

    def __getitem__(self, name: str) -> TyperCommand:
        if (module := module_of(name)) is None:
            raise KeyError(name)
        app = importlib.import_module(f"{__package__}.{module}").app
        info = next(info for info in app.registered_commands if name in (info.name, info.callback.__name__.replace("_", "-")))
        return get_command_from_info(info, pretty_exceptions_short=False, rich_markup_mode=app.rich_markup_mode)

    def __iter__(self) -> Iterator[str]:
        return iter(listed())

    def __len__(self) -> int:
        return len(listed())


class Commands(TyperGroup):
    """All commands; --help and the shell's completion of their names load none."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = Loading()
        self._only_listed = False

    def list_commands(self, ctx: Any) -> list[str]:
        return list(listed())

    def get_command(self, ctx: Any, cmd_name: str) -> TyperCommand | None:
        if self._only_listed:
            said = listed()[cmd_name]
            return TyperCommand(cmd_name, help=said.help, rich_help_panel=said.panel)
        return self.commands.get(cmd_name)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        self._only_listed = True
        super().format_help(ctx, formatter)

    def shell_complete(self, ctx: Any, incomplete: str) -> list:
        self._only_listed = True
        return super().shell_complete(ctx, incomplete)
