"""dvc.yaml against the code: every stage depends on what it imports, or something it depends on pins it."""

import ast
import json
from pathlib import Path

import grimp
import pytest
from project import call
from ruamel.yaml import YAML

STAGES = ("names", "fetch", "preprocess", "check", "describe", "train", "evaluate", "aggregate", "layers")
# These decide whether, where and how visibly something is computed, never what comes out.
NO_RESULT = (
    "reslab.cache",
    "reslab.config",
    "reslab.environment",
    "reslab.errors",
    "reslab.git",
    "reslab.runs",
    "reslab.stop",
    "reslab.storage",
    "reslab.tracking",
)
# The description pins these: it holds the merged parameters and the losses of three real steps, and train depends on it.
PACKAGES = ("reslab", "reslab.data", "reslab.weights")  # __init__.py that say what is in the folder
PINNED = {"train": ("reslab.experiment", "reslab.data", "reslab.models", "reslab.runs.ranks", "reslab.rng", "reslab.targets")}
PINNED["evaluate"] = (*PINNED["train"], "reslab.training")


@pytest.fixture(scope="module")
def pipeline():
    """The stages of dvc.yaml, and those of layers/dvc.yaml, which also run at the root."""
    files = [
        YAML(typ="safe", pure=True).load(Path(__file__).parents[2] / name)["stages"] for name in ("dvc.yaml", "layers/dvc.yaml")
    ]
    assert [stage["wdir"] for stage in files[1].values()] == [".."]
    return files[0] | files[1]


def direct_imports(script: Path) -> set[str]:
    """The reslab modules that a script imports."""
    names = set()
    for node in ast.walk(ast.parse(script.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names


def reached_modules(script: Path) -> set[str]:
    graph = grimp.build_graph("reslab", cache_dir=None)
    direct = direct_imports(script) & graph.modules
    return direct.union(*(graph.find_upstream_modules(module) for module in direct))


def covered(module: str, deps: list[str]) -> bool:
    path = f"src/{module.replace('.', '/')}"
    return any(f"{path}.py" == dep or f"{path}/".startswith(f"{dep}/") for dep in deps)


@pytest.mark.parametrize("stage", STAGES)
def test_deps_cover_imports(pipeline, repository, stage):
    deps = pipeline[stage]["deps"]
    assert f"stages/{stage}.py" in deps
    missing = [
        module
        for module in sorted(reached_modules(repository / "stages" / f"{stage}.py"))
        if not covered(module, deps) and not module.startswith((*NO_RESULT, *PINNED.get(stage, ()))) and module not in PACKAGES
    ]
    assert missing == []


def test_deps_and_scripts_exist(pipeline, repository):
    for stage in STAGES:
        for dep in pipeline[stage]["deps"]:
            if dep.startswith(("src/", "stages/")):
                assert (repository / dep).exists(), dep
        own_source = r"sh -c 'PYTHONPATH=src\${PYTHONPATH:+:$PYTHONPATH} exec python stages/"
        assert pipeline[stage]["cmd"].startswith(own_source), "queued runs must import their own source"


def test_train_depends_on_no_growing_folder_and_no_raw_parameters(pipeline):
    assert pipeline["train"]["params"] == ["seeds"]
    assert not {"src/reslab/models", "src/reslab/data", "params.yaml"} & set(pipeline["train"]["deps"])


def test_matrix_over_a_mapping_expands_to_its_keys(repository):
    """Not documented by DVC, so it is tested."""
    listed = call(repository, "dvc", "stage", "list", "--name-only").stdout.split()
    experiments = list(YAML(typ="safe", pure=True).load(repository / "params.yaml")["experiments"])
    per_experiment = [f"{stage}@{name}" for stage in ("describe", "train", "evaluate") for name in experiments]
    assert listed == ["names", "fetch", "preprocess", "check", *per_experiment, "aggregate"]


def test_plot_template_is_json(repository):
    template = json.loads((repository / ".dvc" / "plots" / "experiments.json").read_text())
    assert template["facet"]["field"] == "experiment"


@pytest.mark.parametrize("stage", STAGES)
def test_stages_never_import_each_other(repository, stage):
    imported = {name.split(".")[0] for name in direct_imports(repository / "stages" / f"{stage}.py")}
    assert not imported & {*STAGES, "stages"}
