"""The pages that are made from the code: they are up to date, and what they say of options and imports is true."""

import os
import re
import shutil
import sys
from itertools import pairwise
from typing import Annotated, Any, Literal
from xml.etree import ElementTree

import grimp
import pytest
from commands import reslab
from project import REPOSITORY, call
from pydantic import Field

from reslab.cli.docs import architecture, drawing, glossary, pages, words
from reslab.config.schema import Count, FractionInterval, Probability, Size
from reslab.errors import UserError


@pytest.fixture(scope="module")
def made():
    """The pages as the code makes them now."""
    return pages(REPOSITORY)


@pytest.mark.parametrize("name", ["configuration.md", "models.md", "results.md", "architecture.md", "architecture.svg"])
def test_the_committed_page_is_the_one_that_the_code_makes(repository, made, name):
    assert (repository / "docs" / name).read_text() == made[f"docs/{name}"], "run `reslab docs`"
    assert len(made) == 5


def test_pages_without_sentences_are_not_written(tmp_path):
    """Python leaves all docstrings out with -OO, of which they are made."""
    (tmp_path / "pyproject.toml").touch()
    code = "import reslab.cli.docs as docs; docs.docs()"
    done = call(tmp_path, sys.executable, "-OO", "-c", code, check=False)
    assert "UserError: PYTHONOPTIMIZE=2 or python -OO: then the code has no sentences" in done.stderr.splitlines()[-1]


def test_every_option_has_a_line_and_every_line_an_option(made):
    """Making the page raises an error for an option without a line."""
    listed = {(section, key) for section, lines in glossary.lines().items() for key in lines if section != "environment"}
    assert listed == set(glossary.used())
    for section in glossary.NAMED:
        for entry in glossary.table(section):
            assert f"### {section}: {entry}\n" in made["docs/configuration.md"]


def test_an_option_without_a_line_is_named():
    with pytest.raises(UserError, match=r"options.yaml: no line for model\.toy\.girth; add `girth: \.\.\.` below `model:`"):
        glossary.meaning("model", "girth", "toy")


def test_an_entry_may_have_a_line_of_its_own():
    assert glossary.meaning("model", "block", "densenet") != glossary.meaning("model", "block", "resnet")


def test_every_environment_variable_of_the_code_has_a_line(repository):
    sources = [*(repository / "src").rglob("*.py"), *(repository / "stages").glob("*.py")]
    named = {name for path in sources for name in re.findall(r"\bRESLAB_[A-Z_]+\b", path.read_text())}
    assert named == set(glossary.environment())


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (Count, "whole number from 1"),
        (Size, "whole number from 1 to 4,096"),
        (Annotated[Count, Field(le=100)], "whole number from 1 to 100"),
        (Probability, "number from 0, below 1"),
        (Annotated[float, Field(gt=0, le=1)] | Literal["cumulative"] | None, "number above 0, at most 1, or `cumulative`"),
        (float | str, "number or text"),
        (bool, "true or false"),
        (Literal["A", "B", "C"], "`A`, `B` or `C`"),
        (Size | None, "whole number from 1 to 4,096"),
        (list[str], "list of texts"),
        (Annotated[list[Count], Field(min_length=1, max_length=8)] | None, "list of 1 to 8 whole numbers from 1"),
        (FractionInterval, "list of 2 numbers from 0 to 1"),
        (dict[str, Any], "section"),
    ],
)
def test_types_are_said_in_words(kind, said):
    assert words.type_in_words(kind) == said


def test_the_types_are_those_that_the_schema_checks():
    """A rate may be an expression; the optimizers themselves take numbers only."""
    (lr,) = (option for option in glossary.options_of("optimizer", "sgd") if option.name == "lr")
    assert (lr.kind, lr.default) == ("number from 0 or text", "needed")
    (depth,) = (option for option in glossary.options_of("model", "imagenet_plain") if option.name == "depth")
    assert (depth.kind, depth.default) == ("`18` or `34`", "34")


def test_the_imports_are_those_that_import_linter_finds(repository):
    graph = grimp.build_graph("reslab", cache_dir=None)
    found = {}
    for name in architecture.rooms(repository):
        inside = {f"reslab.{name}", *graph.find_descendants(f"reslab.{name}")} if name != "stages" else set()
        imported = {target for module in inside for target in graph.find_modules_directly_imported_by(module)}
        targets = {target.split(".")[1] for target in imported - {"reslab"}}
        found[name] = targets - {name}
    arrows = architecture.arrows(repository)
    assert arrows.pop("stages")
    assert arrows == {name: targets for name, targets in found.items() if name != "stages"}


def test_every_room_is_on_a_floor(repository):
    parts = {path.stem for path in (repository / "src" / "reslab").iterdir() if path.stem[0] not in "_."}
    assert parts == set(architecture.rooms(repository)) - {"stages"}


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "not the one of this repository"), (b"[tool", "not the one of this"), (b"\xff", "not UTF-8 text"), (None, "is a pipe")],
)
def test_a_pyproject_that_is_not_ours_is_named(tmp_path, content, said):
    path = tmp_path / "pyproject.toml"
    os.mkfifo(path) if content is None else path.write_bytes(content)
    with pytest.raises(UserError, match=rf"pyproject\.toml: .*{said}"):
        architecture.floors(tmp_path)


def test_a_file_that_is_no_python_is_named_with_its_line(repository, tmp_path):
    for name in ("src", "stages"):
        shutil.copytree(repository / name, tmp_path / name)
    shutil.copy2(repository / "pyproject.toml", tmp_path)
    (tmp_path / "stages" / "more.py").write_text("x = 1\ndef\n")
    with pytest.raises(UserError, match=r"stages/more\.py, line 2: invalid syntax"):
        architecture.arrows(tmp_path)


def test_only_the_arrows_that_no_path_implies_are_drawn(repository):
    assert architecture.reduced({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == {"a": {"b"}, "b": {"c"}, "c": set()}
    floors, rooms = architecture.floors(repository), architecture.rooms(repository)
    arrows = architecture.reduced(architecture.arrows(repository))
    parsed = ElementTree.fromstring(drawing.svg(floors, rooms, arrows))
    elements = list(parsed.iter())
    assert sum(element.get("class") == "arrow" for element in elements) == sum(map(len, arrows.values()))
    assert {element.text for element in elements if element.get("class") == "name"} == set(rooms)
    boxes = [(float(box.get("y")), float(box.get("x"))) for box in elements if box.get("class") == "box"]
    for (y, x), (next_y, next_x) in pairwise(sorted(boxes)):
        assert next_y > y or next_x >= x + drawing.BOX  # none covers another


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "optimizer     The update rule"),
        (["train"], "ghost_batch_size"),
        (["report.compare"], "baseline"),
        (["seeds"], "One network is trained for each seed"),
    ],
)
def test_sections_without_a_table_are_explained_without_torch(tmp_path, arguments, said):
    script = "import sys; from reslab.cli import app; app(sys.argv[1:], standalone_mode=False); assert 'torch' not in sys.modules"
    assert said in call(tmp_path, sys.executable, "-c", script, "options", *arguments).stdout


def test_entries_and_their_options_are_explained(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "multistep" in reslab("options", "schedule")
    said = reslab("options", "schedule.warmup.linear")
    assert said.startswith("From `start` to 1 in equal steps")
    assert "main_from" in said
    with pytest.raises(UserError, match=r"^unknown entry of model 'resmet' \(did you mean 'resnet'\?\)"):
        reslab("options", "model.resmet")
    with pytest.raises(UserError, match=r"^unknown section 'trian' \(did you mean 'train'\?\)"):
        reslab("options", "trian")
    done = call(tmp_path, "reslab", "docs", check=False)
    assert done.stderr == "error: pyproject.toml: no such file here; run from the root of the repository\n"
