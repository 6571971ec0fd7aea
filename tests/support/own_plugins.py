"""Plugins that tests write."""

import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

NUMBERS = count()


def plugin_writer(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """What writes a plugin of a name that no other test has, in a project of its own, and returns that name."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (folder / "plugins").mkdir()

    def written(source: str) -> str:
        name = f"own{next(NUMBERS)}"
        (folder / "plugins" / f"{name}.py").write_text(source)
        return name

    return written
