"""The plan of the code, read from the code: the floors of the import contract, the rooms on them, and who imports whom."""

import ast
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from reslab.cli.docs import markdown
from reslab.errors import UserError, first_line
from reslab.runs.checksums import read_text

PAGE = "docs/architecture.md"
DRAWING = "docs/architecture.svg"
MARKS = ("<!-- rooms: made by `reslab docs` -->", "<!-- end of rooms -->")
MEND = "take it from git"
PACKAGE = "reslab"
STAGES = "stages"  # scripts beside the package, on its top floor
Arrows = dict[str, set[str]]  # room -> the rooms that it imports


@dataclass(frozen=True)
class Room:
    """A folder or a file on a floor: what it is, by its docstring, and the files in it."""

    name: str
    path: Path
    sentence: str
    files: list[Path]


def floors(root: Path) -> list[list[str]]:
    """The rooms of each floor, top first, as the first contract of pyproject.toml has them."""
    path = root / "pyproject.toml"
    try:
        contract = tomllib.loads(read_text(path, mend=MEND))["tool"]["importlinter"]["contracts"][0]
    except (tomllib.TOMLDecodeError, LookupError, TypeError) as error:
        raise UserError(f"{path}: not the one of this repository ({first_line(error)}); {MEND}") from error
    found = [[name.strip().removeprefix(f"{PACKAGE}.") for name in layer.split("|")] for layer in contract["layers"]]
    return [[STAGES, *found[0]], *found[1:]]


def rooms(root: Path) -> dict[str, Room]:
    """All rooms by name, top floor first."""
    return {name: _room(name, root) for floor in floors(root) for name in floor}


def _room(name: str, root: Path) -> Room:
    path = root / STAGES if name == STAGES else root / "src" / PACKAGE / name
    if not path.is_dir():
        path = path.with_suffix(".py")
        return Room(name, path, _sentence(path), [path])
    sentence = "The scripts of the pipeline, one command each." if name == STAGES else _sentence(path / "__init__.py")
    return Room(name, path, sentence, sorted(path.rglob("*.py")))


def _sentence(path: Path) -> str:
    return ast.get_docstring(_parsed(path)).split("\n")[0]


def _parsed(path: Path) -> ast.Module:
    try:
        return ast.parse(read_text(path, mend=MEND))
    except SyntaxError as error:
        raise UserError(f"{path}, line {error.lineno}: {first_line(error)}") from error


def arrows(root: Path) -> Arrows:
    """Room -> the rooms that some file in it imports, also inside a function."""
    found = {}
    for room in rooms(root).values():
        found[room.name] = {target for path in room.files for target in _imported(path)} - {room.name}
    return found


def _imported(path: Path) -> Iterator[str]:
    """The rooms that a file imports."""
    for node in ast.walk(_parsed(path)):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (module.split(".")[1] for module in modules if module.startswith(f"{PACKAGE}."))


def reduced(arrows: Arrows) -> Arrows:
    """The arrows that no longer path implies; raises RecursionError for a circle, which the contract rules out."""
    below = {name: _below(name, arrows) for name in arrows}
    return {
        name: {target for target in targets if not any(target in below[other] for other in targets - {target})}
        for name, targets in arrows.items()
    }


def _below(name: str, arrows: Arrows) -> set[str]:
    return set().union(*({target} | _below(target, arrows) for target in arrows[name]))


def block(root: Path) -> str:
    """The drawing and the table of rooms, in Markdown."""
    rows = []
    for number, floor in enumerate(floors(root), 1):
        for name in floor:
            room = _room(name, root)
            rows.append(
                {"floor": str(number), "room": f"`{room.path.relative_to(root)}`", "what": room.sentence, "files": _files(room)}
            )
    drawing = f"![The rooms on their floors, with an arrow from each room to those it imports]({Path(DRAWING).name})"
    return f"{drawing}\n\n{markdown.table(rows)}"


def _files(room: Room) -> str:
    """The names of a room's files, those of a folder in it after the folder's name."""
    if not room.path.is_dir():
        return ""
    named: dict[str, list[str]] = {}
    for path in room.files:
        folder = path.parent.relative_to(room.path).as_posix()
        named.setdefault(folder, []).extend([path.stem] * (path.stem != "__init__"))
    own = " ".join(named.pop("."))
    return "; ".join([own, *(f"**{folder}** {' '.join(names)}".strip() for folder, names in sorted(named.items()))])
