"""What determines the result of a run: a hash of its description and of the code that trains it."""

import ast
import hashlib
import json
from pathlib import Path

IDENTITY_LENGTH = 16


def identity(description: dict, sources: Path) -> str:
    """Hash of the description and of the code below `sources`, without comments and docstrings.

    Two runs with the same identity and seed have the same result on the same device and thread count.
    """
    digest = hashlib.sha256(json.dumps(description, sort_keys=True).encode())
    for path in sorted(sources.rglob("*.py")):
        digest.update(path.name.encode() + _behaviour(path.read_text(encoding="utf-8")).encode())
    return digest.hexdigest()[:IDENTITY_LENGTH]


def _behaviour(source: str) -> str:
    """Python source without comments, docstrings and layout."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)
