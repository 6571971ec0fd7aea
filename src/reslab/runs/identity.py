"""What determines the result of a run: a hash of its description and of the code that trains it."""

import ast
import contextlib
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

IDENTITY_LENGTH = 16
NOTHING = {"", "pass"}  # what is left of an __init__.py that has a docstring only
PACKAGE = "reslab"  # whose modules may be renamed and moved without training anything again


def identity(description: dict, sources: Path, *, processes: int = 1) -> str:
    """Hash of the description and of what the code below `sources` does.

    The number of `processes` that train a network counts only where batch norm sees the part of each, so that it matters.

    Comments, docstrings, layout, the names and places of files, and imports of our own modules do not count. Two runs with the
    same identity and seed have the same result on the same device and thread count.
    """
    if processes > 1 and _sees_processes(description):
        description = description | {"processes": processes}
    files = [path.read_text(encoding="utf-8") for path in sources.rglob("*.py")]
    modules = {part for path in sources.rglob("*.py") for part in (path.stem, path.parent.name)}
    digest = hashlib.sha256(json.dumps(description, sort_keys=True).encode())
    for behaviour in sorted({_behaviour(source, modules) for source in files} - NOTHING):
        digest.update(behaviour.encode() + b"\0")
    return digest.hexdigest()[:IDENTITY_LENGTH]


def behaviour(sources: Iterable[Path]) -> str:
    """Checksum of what some sources do: without comments, docstrings and layout; of one that is no Python, of its bytes."""
    digest = hashlib.sha256()
    for path in sources:
        content = path.read_bytes()
        with contextlib.suppress(SyntaxError, ValueError, RecursionError, MemoryError):
            content = ast.unparse(_undocumented(ast.parse(content))).encode()
        digest.update(content + b"\0")
    return digest.hexdigest()[:IDENTITY_LENGTH]


def _sees_processes(description: dict) -> bool:
    """Whether the result depends on how many processes train the network."""
    batch_norm = description.get("config", {}).get("train", {}).get("batch_norm") or {}
    return batch_norm.get("across") == "process"


def _behaviour(source: str, modules: set[str]) -> str:
    """Python source without comments, docstrings, layout and imports of our own modules."""
    return ast.unparse(ast.fix_missing_locations(_WithoutOwnImports(modules).visit(_undocumented(ast.parse(source)))))


def _undocumented(tree: ast.AST) -> ast.AST:
    """The same tree without its docstrings."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return tree


class _WithoutOwnImports(ast.NodeTransformer):
    """Drops imports of our own modules; `levels.choose(...)` of an imported module `levels` becomes `choose(...)`.

    What is imported is part of the behaviour all the same: as code below the sources, or by the description's losses of real steps.
    """

    def __init__(self, modules: set[str]) -> None:
        self.modules, self.imported = modules, set()

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | None:
        if (node.module or "").partition(".")[0] != PACKAGE and not node.level:
            return node
        self.imported |= {alias.asname or alias.name for alias in node.names if alias.name in self.modules}
        renamed = [alias for alias in node.names if alias.asname and alias.name not in self.modules]
        return ast.ImportFrom(module="", names=renamed, level=0) if renamed else None

    def visit_Import(self, node: ast.Import) -> ast.AST | None:
        kept = [alias for alias in node.names if alias.name.partition(".")[0] != PACKAGE]
        return ast.Import(names=kept) if kept else None

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.value, ast.Name) and node.value.id in self.imported:
            return ast.copy_location(ast.Name(id=node.attr, ctx=node.ctx), node)
        return node
