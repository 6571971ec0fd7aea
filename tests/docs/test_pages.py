"""What the pages name exists: commands with their options, files, links."""

import re
import shlex
import subprocess
from pathlib import Path

import click
import pytest
import typer
from project import REPOSITORY
from worked_examples import FENCE, blocks

from reslab.cli import app

HISTORY = "docs/log.md"  # tells of what once was
PAGES = sorted(
    path for path in [REPOSITORY / "README.md", *(REPOSITORY / "docs").glob("*.md")] if str(path.relative_to(REPOSITORY)) != HISTORY
)
INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
COMMAND = re.compile(r"^(?:\$ )?(?:[A-Z_]+=\S+ )*reslab\b(?!\.)")
LINK = re.compile(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)")


def commands(page: str) -> list[list[str]]:
    """The `reslab` commands of a page, in code blocks and between backticks, as lists of words."""
    lines = [line for _, text in FENCE.findall(page) for line in re.sub(r"\\\n\s*", "", text).splitlines()]
    lines += INLINE.findall(FENCE.sub("", page))
    return [words(line) for line in lines if COMMAND.match(line.strip())]


def words(line: str) -> list[str]:
    line = line.strip().removeprefix("$ ")
    try:
        found = shlex.split(line, comments=True)
    except ValueError:  # a part of a longer command
        found = line.split()
    end = next((place for place, word in enumerate(found) if word in ("|", "&&", ">", ";", "->")), len(found))
    return found[found.index("reslab") + 1 : end]


def named_options(arguments: list[str]) -> list[str]:
    return [word.partition("=")[0] for word in arguments if re.match(r"--?[a-zA-Z]", word)]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_the_commands_exist_with_the_options_shown(path):
    group = typer.main.get_command(app)
    for arguments in commands(path.read_text()):
        name = next((word for word in arguments if not word.startswith("-")), None)
        if name is None or not re.fullmatch(r"[a-z-]+", name):
            continue
        command = group.get_command(click.Context(group), name)
        assert command is not None, f"{path.name}: reslab {' '.join(arguments)}"
        known = {option for parameter in command.params for option in [*parameter.opts, *parameter.secondary_opts]} | {"--help"}
        assert set(named_options(arguments)) <= known, f"{path.name}: reslab {' '.join(arguments)}"


def test_commands_are_found_in_blocks_and_between_backticks():
    block = "```\n$ reslab check  # finds mistakes\nA=1 reslab score x \\\n  --top 3 | less\n```\n"
    page = f"Say `reslab show NAME --csv`.\n\n{block}`reslab.models` is code.\n"
    assert commands(page) == [["check"], ["score", "x", "--top", "3"], ["show", "NAME", "--csv"]]
    assert named_options(["score", "x", "--top", "3", "--csv=1"]) == ["--top", "--csv"]


@pytest.fixture(scope="module")
def tracked() -> set[Path]:
    """The files and folders of the repository that git has or would take."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    files = {Path(name) for name in listed.splitlines() if (REPOSITORY / name).exists()}
    return files | {folder for name in files for folder in name.parents}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_the_files_that_are_named_exist(path, tracked):
    page = path.read_text()
    added = {block.path for block in blocks(page) if block.path}
    for text in INLINE.findall(FENCE.sub("", page)):
        if is_path(text, tracked) and text not in added:
            assert {Path(text), Path("src/reslab", text)} & tracked, f"{path.name} names {text}"


def is_path(text: str, tracked: set[Path]) -> bool:
    """Whether it is one file or folder of the repository, or of the package, and no pattern such as results/STUDY.

    What the pipeline makes (metrics/) depends on the study; /dev/stdout is the machine's.
    """
    first, slash, _ = text.partition("/")
    known = Path(first) in tracked and first not in ("", "metrics", "data")
    return bool(slash and re.fullmatch(r"[\w./-]+", text) and not re.search(r"/[A-Z]+\b(?!\.md)", text)) and (
        known or text.endswith(".py")
    )


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_the_links_lead_to_files(path, tracked):
    """Also as a git host shows the page, without the documentation's builder."""
    for link in LINK.findall(FENCE.sub("", path.read_text())):
        target = (path.parent / link).resolve()
        assert target.is_relative_to(REPOSITORY), f"{path.name} links to {link}"
        assert target.relative_to(REPOSITORY) in tracked, f"{path.name} links to {link}"
