"""The worked examples of a page: fenced blocks that write a file, change a file, or run commands, in the order of the page.

A block whose first line is a comment with a path is that file; a diff block with such a line changes it; an sh block is run. Any
other block is there to be read.
"""

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from project import environment

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PATH = re.compile(r"# ([\w./-]+\.\w+)\n")
SHELLS = ("sh", "bash")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the path in its first line, if there is one, and the rest."""

    language: str
    path: str | None
    text: str


def blocks(page: str) -> list[Block]:
    """The blocks of a Markdown page."""
    found = []
    for language, text in FENCE.findall(page):
        named = PATH.match(text) if language not in SHELLS else None
        found.append(Block(language, named[1] if named else None, text[named.end() :] if named else text))
    return found


def follow(page: str, folder: Path) -> list[str]:
    """Do in `folder` what the page says; returns the commands that were run."""
    commands = []
    for block in blocks(page):
        if block.language in SHELLS:
            run(block.text, folder)
            commands += block.text.splitlines()
        elif block.path and block.language == "diff":
            change(folder / block.path, block.text)
        elif block.path:
            (folder / block.path).parent.mkdir(parents=True, exist_ok=True)
            (folder / block.path).write_text(block.text)
    return commands


def change(path: Path, diff: str) -> None:
    """Put the lines with + where the others stand, without the lines with -; they must stand in exactly one place."""
    lines = [line for line in diff.splitlines(keepends=True) if not line.startswith("@@")]
    old = "".join(line[1:] for line in lines if line[0] in " -")
    new = "".join(line[1:] for line in lines if line[0] in " +")
    text = path.read_text()
    assert text.count(old) == 1, f"{path}: the lines of the page stand there {text.count(old)} times:\n{old}"
    path.write_text(text.replace(old, new))


def run(commands: str, folder: Path) -> None:
    """Run the lines of a shell block with the code of `folder`; fail at the first that fails, with what it printed."""
    path = os.pathsep.join([str(folder / "src"), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        ["bash", "-euxc", commands],
        cwd=folder,
        env=environment() | {"PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{commands}\n{done.stdout[-6000:]}"
