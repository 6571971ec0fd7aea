"""The commands of the pages run as they stand there, on a small trained study whose names take the place of the pages'."""

import contextlib
import io
import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
from commands import reslab
from dvc.cli import main as dvc_main
from PIL import Image
from project import REPOSITORY, SMALL_PARAMS, call, commit, copy, edit
from worked_examples import FENCE

NAMES = {
    "resnet110-nobn-tau": "own-tau",
    "resnet020-bn": "plain-tau",
    "resnet020*": "plain*",
    "0-nobn": "plain-tau",
    "digits-tau": "small",
    "STUDY": "small",
    "/shared": "..",
}
FOLLOWED = ("docs/extending.md",)  # as a whole: test_extending.py
PAGES = sorted(
    name
    for path in [*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").glob("*.md")]
    if "```sh\n" in path.read_text() and (name := str(path.relative_to(REPOSITORY))) not in FOLLOWED
)
ELSEWHERE = {  # what commands, or a page and a command, begin with -> the file that runs them, or what a test holds against them
    "make test": ".ci/run",
    "make ui": "tests/pipeline/test_experiments.py",
    "git clone": "tests/pipeline/test_dvc_verbs.py",
    "cd reslab": "tests/pipeline/test_dvc_verbs.py",
    "python3 -m venv": "Makefile",
    "pip install --constraint": "Makefile",
    "pip install --require-hashes": "tests/test_packaging.py",
    "pip install --no-deps": "tests/test_packaging.py",
    "pip install --editable '.[s3]'": "tests/pipeline/test_s3_remote.py",
    "pytest": "Makefile",
    "ruff check": "Makefile",
    "ruff format": "Makefile",
    "lint-imports": "Makefile",
    "mkdocs build": "Makefile",
    "python benchmarks/engine.py": "tests/benchmarks/test_benchmark.py",
    "dvc repro --force benchmarks/dvc.yaml": "tests/benchmarks/test_benchmark.py",
    "python benchmarks/first_light.py": "tests/benchmarks/test_first_light.py",
    "python3 benchmarks/first_light.py": "tests/benchmarks/test_first_light.py",
    "ls imagenet": "tests/data/test_imagenet.py",
    "RESLAB_PROCESSES": "tests/pipeline/test_several_processes.py",
    "torchrun": "tests/pipeline/test_several_processes.py",
    "reslab verify": "tests/cli/test_verify.py",
    "reslab train": "tests/cli/test_train.py",
    "reslab split": "tests/pipeline/test_split.py",
    "dvc exp run --name tau136": "tests/pipeline/test_experiments.py",
    "dvc exp run -S '+experiments.third": "tests/pipeline/test_experiments.py",
    "dvc exp run --queue -S": "tests/pipeline/test_experiments.py",
    "dvc queue start": "tests/pipeline/test_experiments.py",
    "docs/lab.md dvc push": "tests/pipeline/test_s3_remote.py",
    "cat > .env": "tests/tracking/test_server.py",
    "curl": "tests/tracking/test_server.py",
    "export MLFLOW_TRACKING_URI": "tests/tracking/test_server.py",
    "reslab relog": "tests/tracking/test_tracking.py",
    "reslab register": "tests/tracking/test_registry.py",
    "mlflow models predict": "tests/tracking/test_registry.py",
    "reslab calibrate": "tests/cli/test_cli_studies.py",
    "reslab score NETWORK": "tests/cli/test_cli_score.py",
    "reslab import-weights resnet20.pt": "tests/cli/test_cli_imports.py",
    "reslab report": "tests/cli/test_app.py",
}
NOWHERE = {  # commands that no test runs, and why
    "docker compose": "needs docker; the services that it starts are run by tests/tracking/test_server.py",
    "python3 -m pip download": "needs the package index, for a machine that has none",
    "python -m venv ../peers": "needs the package index, for what other projects need",
    "../peers/bin/pip": "needs the package index, for what other projects need",
}
CONTINUED = re.compile(r"\\\n\s*")
HEREDOC = re.compile(r"<< END\n.*?\nEND$", re.DOTALL | re.MULTILINE)


def lines(page: str) -> list[list[str]]:
    """The lines of a page's shell blocks, each as the commands between its &&, without comments."""
    blocks = [block for language, block in FENCE.findall((REPOSITORY / page).read_text()) if language == "sh"]
    text = HEREDOC.sub("<< END", CONTINUED.sub("", "".join(blocks)))
    written = [re.sub(r"\s+#.*", "", line).strip() for line in text.splitlines()]
    return [line.split(" && ") for line in written if line]


def listed(page: str) -> set[str]:
    """The beginnings under which commands of a page are listed as not run here."""
    written = [words for line in lines(page) for command in line for words in (command, f"{page} {command}")]
    return {start for start in ELSEWHERE | NOWHERE if any(words.startswith(start) for words in written)}


def here(page: str) -> list[list[str]]:
    """The lines that are run here, for the small study, without what is not run here."""
    others = tuple(start.removeprefix(f"{page} ") for start in listed(page))
    kept = ([command for command in line if not command.startswith(others)] for line in lines(page))
    names = re.compile("|".join(map(re.escape, NAMES)))
    return [[names.sub(lambda old: NAMES[old[0]], command) for command in line] for line in kept if line]


def run(folder: Path, command: str) -> str:
    """What a command prints: ours and DVC's run in this process, which saves the seconds that importing them takes."""
    words = shlex.split(command)
    if words[0] == "reslab":
        return reslab(*words[1:])
    if words[0] != "dvc" or "run" in words:
        return call(folder, "bash", "-euc", command).stdout
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert dvc_main(words[1:]) == 0, command
    return printed.getvalue()


@pytest.fixture(scope="module")
def project(trained, tmp_path_factory):
    """The trained study with what the pages speak of: a branch, an experiment of DVC, a picture, a folder of other images, ..."""
    place = tmp_path_factory.mktemp("pages")
    folder = copy(trained, place / "reslab")
    call(place, "git", "clone", "--quiet", "--bare", str(trained), "hosted.git")
    call(folder, "git", "remote", "set-url", "origin", str(place / "hosted.git"))
    (folder / "studies" / "small.yaml").write_text(SMALL_PARAMS.removeprefix("study: small\n"))
    call(folder, sys.executable, "-m", "venv", "--without-pip", ".venv")
    (folder / ".venv" / ".ready").touch()
    picture = Image.fromarray(np.full((8, 8), 90, dtype=np.uint8))
    picture.save(folder / "image.png")
    for name in map(str, range(10)):
        (folder / "other" / name).mkdir(parents=True)
        picture.save(folder / "other" / name / "one.png")
    commit(folder, "what the pages speak of")
    call(folder, "git", "branch", "smaller-tau")
    head = call(folder, "git", "rev-parse", "HEAD").stdout.strip()
    call(folder, "git", "update-ref", f"refs/exps/{head[:2]}/{head[2:]}/tau136", "HEAD")
    return folder


def test_each_command_runs_here_or_in_the_test_that_is_named():
    assert set().union(*map(listed, PAGES)) == {*ELSEWHERE, *NOWHERE}
    for start, path in ELSEWHERE.items():
        words, text = re.findall(r"[\w.-]+", start), (REPOSITORY / path).read_text()
        assert any(word in text for word in words[1:] or words), f"{start} in {path}"
    run_here = [command for page in PAGES for line in here(page) for command in line]
    assert {command.split()[0] for command in run_here} == {".", "cat", "dvc", "git", "make", "pre-commit", "reslab"}
    assert "reslab select he2015-cifar10 --rows resnet0020 --seeds 0" in run_here


@pytest.mark.parametrize("page", [page for page in PAGES if here(page)])
def test_what_a_page_shows_runs(project, page):
    with contextlib.chdir(project):
        for line in dict.fromkeys(map(tuple, here(page))):
            for command in line:
                if "my-experiment" in command:
                    edit(project, "params.yaml", "  plain-tau: {}\n", "  plain-tau: {}\n  my-experiment: {}\n")
                said = run(project, command)
                assert said.strip() or not command.startswith("reslab"), command
            call(project, "git", "checkout", "--quiet", "--", "params.yaml")  # each line stands alone
        call(project, "git", "checkout", "--quiet", "--", ".dvc")  # and each page
        Path(".dvc/config.local").unlink(missing_ok=True)


def test_the_output_that_a_page_shows_has_the_shape_of_what_is_printed(project):
    """Headings, and names of rows: `$ dvc params diff`, `$ dvc metrics diff`, and the table of `dvc exp show`."""
    page = (REPOSITORY / "docs" / "experiments.md").read_text()
    blocks = [block for language, block in FENCE.findall(page) if not language]
    shown = dict(re.findall(r"^\$ (.*)\n(.*)\n", blocks[0], re.MULTILINE))
    (table,) = [line[0] for line in here("docs/experiments.md") if line[0].startswith("dvc exp show")]
    edit(project, "params.yaml", "tau: 1.0", "tau: 0.136")
    edit(project, "metrics/summary.json", '"error_percent": ', '"error_percent": 1')
    with contextlib.chdir(project):
        printed = {command: run(project, command) for command in [*shown, table]}
        call(project, "git", "checkout", "--quiet", "--", ".")
    for command, heading in shown.items():
        assert printed[command].splitlines()[0].split() == heading.split()
    assert re.search(r"model\.tau +1\.0 +0\.136$", printed["dvc params diff"], re.MULTILINE)
    assert re.search(r"summary\.json +plain-tau\.error_percent +\S+ +\S+ +\S+$", printed["dvc metrics diff"], re.MULTILINE)
    columns = [cell.strip() for cell in printed[table].splitlines()[0].strip("|").split("|")]
    assert columns == ["Experiment", "plain-tau.error_percent", "model.tau"]
    assert [cell.strip().rpartition(".")[2] for cell in blocks[1].splitlines()[0].strip("|").split("|")] == [
        "Experiment",
        "error_percent",
        "error_percent",
        "tau",
    ]
