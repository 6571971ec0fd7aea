"""The `reslab` commands of the pages run as they stand there, on a small trained study whose names take the place of the pages'."""

import contextlib
import re
import shlex

import numpy as np
import pytest
from commands import reslab
from PIL import Image
from project import REPOSITORY, call, copy, edit
from test_pages import words
from worked_examples import FENCE

NAMES = {"resnet110-nobn-tau": "own-tau", "resnet020-bn": "plain-tau", "resnet020*": "plain*", "digits-tau": "small"}
PAGES = ("README", "docs/quickstart", "docs/experiments", "docs/studies", "docs/weights", "docs/training")
ELSEWHERE = {  # first words of what another test runs, or nothing can run here
    "calibrate": "minutes; a small one in tests/cli/test_cli_studies.py",
    "select STUDY": "a place for a name",
    "score NETWORK": "CIFAR-10.1; tests/cli/test_cli_score.py",
    "import-weights resnet20.pt": "somebody else's file; tests/cli/test_cli_imports.py",
    "report": "a browser in tests/cli/test_app.py",
}


def shown(page: str) -> list[list[str]]:
    """The commands in a page's blocks, for the small study."""
    text = (REPOSITORY / f"{page}.md").read_text()
    lines = [line.strip() for language, block in FENCE.findall(text) if language == "sh" for line in block.splitlines()]
    found = [words(line) for line in lines if line.startswith("reslab ")]
    named = [[re.sub("|".join(map(re.escape, NAMES)), lambda old: NAMES[old[0]], word) for word in line] for line in found]
    return [line for line in named if not any(shlex.join(line).startswith(start) for start in ELSEWHERE)]


@pytest.fixture(scope="module")
def project(trained, tmp_path_factory):
    """The trained study with what the pages speak of: a branch, an experiment of DVC, a picture, a folder of other images."""
    folder = copy(trained, tmp_path_factory.mktemp("pages") / "reslab")
    call(folder, "git", "branch", "smaller-tau")
    head = call(folder, "git", "rev-parse", "HEAD").stdout.strip()
    call(folder, "git", "update-ref", f"refs/exps/{head[:2]}/{head[2:]}/tau136", "HEAD")
    picture = Image.fromarray(np.full((8, 8), 90, dtype=np.uint8))
    picture.save(folder / "image.png")
    for name in map(str, range(10)):
        (folder / "other" / name).mkdir(parents=True)
        picture.save(folder / "other" / name / "one.png")
    return folder


def test_the_commands_are_found():
    assert {line[0] for page in PAGES for line in shown(page)} >= {"select", "estimate", "compare", "figures", "release", "predict"}
    assert ["select", "he2015-cifar10", "--rows", "resnet0020", "--seeds", "0"] in shown("README")


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_shows_runs(project, page):
    with contextlib.chdir(project):
        for line in shown(page):
            if "my-experiment" in line:
                edit(project, "params.yaml", "  plain-tau: {}\n", "  plain-tau: {}\n  my-experiment: {}\n")
            assert reslab(*line).strip(), line
            call(project, "git", "checkout", "--quiet", "--", "params.yaml")  # each line stands alone
