"""Dockerfile, development container, services of a lab and CI workflow: parsed, and held against what the repository has."""

import json
import re
import shlex
import subprocess

import pytest
from ruamel.yaml import YAML

INSTRUCTIONS = {"FROM", "RUN", "WORKDIR", "COPY", "CMD"}


@pytest.fixture
def dockerfile(repository) -> list[tuple[str, str]]:
    """(instruction, its text with continued lines joined)."""
    lines = re.sub(r"^#.*\n", "", (repository / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ").splitlines()
    return [tuple(line.split(" ", 1)) for line in lines if line.strip()]


def test_the_image_has_the_environment_of_make_setup(repository, dockerfile):
    assert dockerfile[0][0] == "FROM" and ":" in dockerfile[0][1] and "latest" not in dockerfile[0][1]
    assert {instruction for instruction, _ in dockerfile} <= INSTRUCTIONS
    (pip,) = [text for instruction, text in dockerfile if instruction == "RUN" and "pip install" in text]
    (make,) = [line for line in (repository / "Makefile").read_text().splitlines() if "install --constraint" in line]
    ours, theirs = (shlex.split(text.split("pip install", 1)[1].split("&&")[0]) for text in (pip, make))
    assert [word for word in ours if word != "--no-cache-dir"] == theirs


def test_what_the_image_copies_is_there_and_enough_to_install(repository, dockerfile):
    copied = [word for instruction, text in dockerfile if instruction == "COPY" for word in text.split()[:-1]]
    assert all((repository / name).exists() for name in copied)
    assert {"pyproject.toml", "constraints.txt", "README.md", "LICENSE", "src"} <= set(copied)
    ignored = (repository / ".dockerignore").read_text().splitlines()
    assert not set(copied) & set(ignored)
    assert {".git", ".venv", "data", ".dvc/cache"} <= set(ignored)


def test_python_is_one_that_the_project_allows(repository, dockerfile):
    version = re.search(r"python:(\d+\.\d+)", dockerfile[0][1])[1]
    assert f'requires-python = ">={version}"' in (repository / "pyproject.toml").read_text()
    workflow = YAML(typ="safe", pure=True).load(repository / ".github" / "workflows" / "ci.yml")
    (setup,) = [step for step in workflow["jobs"]["test"]["steps"] if "setup-python" in step.get("uses", "")]
    assert setup["with"]["python-version"] == version


def test_the_development_container_is_the_same_image(repository):
    folder = repository / ".devcontainer"
    described = json.loads((folder / "devcontainer.json").read_text())
    assert (folder / described["build"]["dockerfile"]).resolve() == repository / "Dockerfile"
    assert (folder / described["build"]["context"]).resolve() == repository


def test_the_workflow_runs_what_ci_runs_here(repository):
    workflow = YAML(typ="safe", pure=True).load(repository / ".github" / "workflows" / "ci.yml")
    assert set(workflow["on"]) == {"push", "pull_request"}
    commands = [step["run"] for step in workflow["jobs"]["test"]["steps"] if "run" in step]
    assert commands == [".ci/run"]
    assert (repository / ".ci" / "run").stat().st_mode & 0o111
    (checkout,) = [step for step in workflow["jobs"]["test"]["steps"] if "checkout" in step.get("uses", "")]
    assert checkout["with"]["fetch-depth"] == 0  # .ci/run clones the checkout, which a shallow one does not allow for old commits


@pytest.fixture
def compose(repository) -> dict:
    return YAML(typ="safe").load(repository / "compose.yaml")


def test_what_the_services_of_a_lab_name_is_there(compose):
    for service in compose["services"].values():
        assert set(service.get("depends_on", [])) <= set(compose["services"])
        assert {config["source"] for config in service.get("configs", [])} <= set(compose["configs"])
        assert {volume.split(":")[0] for volume in service.get("volumes", [])} <= set(compose["volumes"])
        assert "latest" not in service.get("image", "") and ("build" in service or ":" in service["image"])


def test_the_variables_of_a_lab_are_those_that_the_page_sets(repository):
    needed = set(re.findall(r"\$\{(\w+):\?", (repository / "compose.yaml").read_text()))
    block = (repository / "docs" / "lab.md").read_text().split("cat > .env << END\n")[1].split("END\n")[0]
    assert needed == {line.split("=")[0] for line in block.splitlines()}


def test_a_lab_makes_its_buckets_by_a_script_that_a_shell_can_read(compose):
    (script,) = compose["services"]["buckets"]["command"]
    read = subprocess.run(["sh", "-n", "-c", script.replace("$$", "$")], capture_output=True, text=True, check=False)
    assert (read.returncode, read.stderr) == (0, "")
    policy = json.loads(compose["configs"]["policy"]["content"])
    assert "arn:aws:s3:::dvc/*" in policy["Statement"][0]["Resource"]


def test_a_lab_has_the_mlflow_of_the_pinned_environment(repository, compose):
    (version,) = re.findall(r"^mlflow==(\S+)$", (repository / "constraints.txt").read_text(), flags=re.MULTILINE)
    assert f"mlflow[auth]=={version}'" in compose["services"]["mlflow"]["build"]["dockerfile_inline"]
