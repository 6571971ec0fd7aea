"""Identity follows what the training code does, not what its files are called or where they are."""

import shutil
from pathlib import Path

import pytest

import reslab.training
from reslab.runs.identity import identity

DESCRIPTION = {"config": {"a": 1, "b": 2}}
CODE = '''"""Module."""

import math
from reslab.training import levels
from reslab.training.step import train_step as make_step


def f(x):
    """Doc."""
    # why
    return levels.choose(make_step(x)) + math.pi
'''


def of(tmp_path: Path, code: str = CODE, description: dict = DESCRIPTION, *, file: str = "a.py") -> str:
    """The identity of a folder that holds the code in `file`, and a module called levels."""
    folder = tmp_path / "code"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / file).parent.mkdir(parents=True)
    (folder / file).write_text(code)
    (folder / "levels.py").write_text("def choose(x):\n    return x\n")
    return identity(description, folder)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# why", "# because"),
        ("Doc.", "Other."),
        ("levels.choose(make_step(x)) + math.pi", "(levels.choose(make_step(x))\n            + math.pi)"),
        ("from reslab.training import levels", "from reslab.training.execution import levels"),
        ("reslab.training.step import", "reslab.training.one_step import"),
        ("from reslab.training import levels", "from reslab.training.levels import choose"),
    ],
)
def test_comments_layout_and_own_imports_do_not_count(tmp_path, old, new):
    changed = CODE.replace(old, new)
    if new.endswith("import choose"):
        changed = changed.replace("levels.choose(", "choose(")
    assert of(tmp_path, changed) == of(tmp_path)


def test_key_order_and_places_of_files_do_not_count(tmp_path):
    base = of(tmp_path)
    assert of(tmp_path, description={"config": {"b": 2, "a": 1}}) == base
    assert of(tmp_path, file="deep/er/b.py") == base
    (tmp_path / "code" / "deep" / "__init__.py").write_text('"""A folder."""\n')
    assert identity(DESCRIPTION, tmp_path / "code") == base


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("math.pi", "math.e"),
        ("choose(", "refuse("),
        ("train_step as make_step", "test_step as make_step"),
        ("import math", "import cmath as math"),
    ],
)
def test_what_code_does_counts(tmp_path, old, new):
    assert of(tmp_path, CODE.replace(old, new)) != of(tmp_path)


def test_the_description_and_every_file_count(tmp_path):
    base = of(tmp_path)
    assert of(tmp_path, description={"config": {"a": 1, "b": 3}}) != base
    of(tmp_path)
    (tmp_path / "code" / "levels.py").write_text("def choose(x):\n    return 2 * x\n")
    assert identity(DESCRIPTION, tmp_path / "code") != base


def test_renaming_any_module_of_the_training_code_trains_nothing(tmp_path):
    """Each file gets another name and place, and every import of it follows."""
    folder = tmp_path / "training"
    shutil.copytree(reslab.training.__path__[0], folder, ignore=shutil.ignore_patterns("__pycache__"))
    base = identity(DESCRIPTION, folder)
    for path in [path for path in folder.rglob("*.py") if path.name != "__init__.py"]:
        dotted = ".".join(["reslab", "training", *path.relative_to(folder).with_suffix("").parts])
        package, _, name = dotted.rpartition(".")
        for other in folder.rglob("*.py"):
            source = other.read_text()
            source = source.replace(f"from {dotted} import", f"from reslab.training.moved.{name}_moved import")
            source = source.replace(f"from {package} import {name}", f"from reslab.training.moved import {name}_moved")
            other.write_text(source)
        target = folder / "moved" / f"{name}_moved.py"
        target.parent.mkdir(exist_ok=True)
        path.rename(target)
        assert identity(DESCRIPTION, folder) == base, f"{dotted} is part of the identity"
