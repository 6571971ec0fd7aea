"""Names of experiments are data: no name reaches a shell or a folder that is not its own, whichever way DVC is called."""

import contextlib
import os
import subprocess
import time
from pathlib import Path

import networkx as nx
import pytest
from dvc.repo import Repo
from project import SMALL_PARAMS, call, clone, edit, environment
from ruamel.yaml import YAML

HOSTILE = [
    "$(touch stolen)",
    "`touch stolen`",
    "x; touch stolen #",
    "x' 'touch stolen' '",
    "'\"$(touch stolen)\"'",
    'x" && touch stolen && echo "',
    "x\ntouch stolen\n",
    "x > stolen",
    "*",
    "~",
    "-c",
    "--help",
    "${model.depth}",
    "\\${HOME}",
    "a b",
    "ü",
    "../../../victim",
]


def resolved(folder: Path, dvc_yaml: str, names: list) -> list:
    """The stages of a pipeline file as DVC resolves them for experiments of these names."""
    folder.mkdir()
    (folder / "dvc.yaml").write_text(dvc_yaml, encoding="utf-8")
    params = YAML(typ="safe", pure=True).load(SMALL_PARAMS) | {"experiments": {name: {} for name in names}}
    with (folder / "params.yaml").open("w", encoding="utf-8") as file:
        YAML().dump(params, file)
    with contextlib.chdir(folder), Repo.init(no_scm=True) as repo:  # DVC reads params.yaml of the current folder
        return list(repo.stage.load_all())


@pytest.fixture
def recorder(tmp_path):
    """Runs a stage's command with a `python` that only says its PYTHONPATH and arguments."""
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text('#!/bin/sh\nprintf "%s\\0" "$PYTHONPATH" "$@"\n')
    python.chmod(0o755)

    def run(command: str, folder: Path, **settings: str) -> list[str]:
        kept = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        path = os.pathsep.join([str(python.parent), os.environ["PATH"]])
        done = subprocess.run(
            ["/bin/sh", "-c", command], cwd=folder, env=kept | {"PATH": path} | settings, capture_output=True, check=True
        )
        return done.stdout.decode().split("\0")[:-1]

    return run


def test_commands_hand_over_any_name_as_one_word(repository, tmp_path, recorder):
    """Also where the check of names is left out: `dvc repro --single-item`, `--downstream`."""
    folder = tmp_path / "project"
    stages = resolved(folder, (repository / "dvc.yaml").read_text(encoding="utf-8"), HOSTILE)
    per_experiment = [stage for stage in stages if "@" in stage.name]
    assert len(per_experiment) == 3 * len(HOSTILE)
    before = sorted(folder.iterdir())
    for stage in per_experiment:
        name = stage.name.partition("@")[2].replace("\\${", "${")  # DVC's own escape
        _, script, experiment, *paths = recorder(stage.cmd, folder)
        assert script == f"stages/{stage.name.partition('@')[0]}.py"
        assert experiment == name
        assert {path.removesuffix(".json").removesuffix(".csv").partition("/")[2].partition("/")[2] for path in paths} == {name}
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize("name", ["dvc.yaml", "layers/dvc.yaml", "benchmarks/dvc.yaml"])
def test_a_users_pythonpath_is_kept_behind_the_own_source(repository, tmp_path, recorder, name):
    folder = tmp_path / "project"
    for stage in resolved(folder, (repository / name).read_text(encoding="utf-8"), ["one"]):
        assert recorder(stage.cmd, folder)[0] == "src"
        assert recorder(stage.cmd, folder, PYTHONPATH="/theirs:/more")[0] == "src:/theirs:/more"


def test_names_are_checked_before_every_other_stage(repository):
    with contextlib.chdir(repository), Repo() as repo:
        graph = repo.index.graph
        (names,) = [stage for stage in graph if stage.addressing == "names"]
        others = {stage for stage in graph if stage.path_in_repo in ("dvc.yaml", "layers/dvc.yaml")} - {names}
    assert nx.descendants(graph, names) == set(), "it waits for nothing"
    assert others <= nx.ancestors(graph, names)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory) -> Path:
    """A clone whose params.yaml is a stranger's."""
    folder = clone(tmp_path_factory.mktemp("hostile") / "reslab", SMALL_PARAMS)
    edit(folder, "params.yaml", "  plain-tau: {}", "  $(touch stolen): {}")
    return folder


@pytest.mark.parametrize(
    "command",
    [
        ["dvc", "repro"],
        ["dvc", "repro", "--keep-going"],
        ["dvc", "repro", "--ignore-errors"],
        ["dvc", "repro", "train@$(touch stolen)"],
        ["dvc", "repro", "layers/dvc.yaml"],
        ["dvc", "exp", "run", "-S", "train.epochs=1"],
        ["dvc", "exp", "run", "--temp"],
    ],
    ids=lambda command: " ".join(command[1:]),
)
def test_a_strangers_names_are_refused_and_do_nothing(hostile, command):
    done = call(hostile, *command, check=False)
    assert done.returncode != 0 or "--ignore-errors" in command
    assert "params.yaml: experiments: '$(touch stolen)' is not a name" in done.stderr
    assert not list(hostile.rglob("stolen"))
    assert not (hostile / "data" / "raw").exists(), "no other stage ran"


def test_a_strangers_names_are_refused_in_the_queue(hostile):
    call(hostile, "dvc", "exp", "run", "--queue", "--name", "theirs", "-S", "train.epochs=1")
    subprocess.run(["dvc", "queue", "start"], cwd=hostile, env=environment(), check=True, capture_output=True)
    for _ in range(120):
        status = call(hostile, "dvc", "queue", "status").stdout
        if "Failed" in status or "Success" in status:
            break
        time.sleep(3)  # each look takes a second of a core
    assert "Failed" in status
    assert "is not a name" in call(hostile, "dvc", "queue", "logs", "theirs").stdout
    assert not list(hostile.rglob("stolen"))


@pytest.mark.parametrize("name", ["../../../victim", "../victim"])
def test_a_strangers_name_is_no_way_out_of_its_folder(tmp_path, name):
    """DVC deletes a stage's outputs before it starts: a path of another folder must end before that."""
    folder = clone(tmp_path / "reslab", SMALL_PARAMS)
    victims = [tmp_path / "victim" / "file", folder / "data" / "victim" / "file"]
    for victim in victims:
        victim.parent.mkdir(parents=True)
        victim.touch()
    edit(folder, "params.yaml", "plain-tau", name)
    for command in (["repro"], ["repro", "--keep-going"], ["repro", f"train@{name}"], ["exp", "run", "--temp"]):
        assert call(folder, "dvc", *command, check=False).returncode != 0
        assert all(victim.exists() for victim in victims), command
