"""A fresh clone of this working tree, and the real tools run in it."""

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import loaded
from filelock import FileLock
from mlflow.tracking import MlflowClient
from ruamel.yaml import YAML

REPOSITORY = Path(__file__).resolve().parents[2]

# Two small experiments: seconds each, with the pipeline's real shape.
SMALL_PARAMS = """\
study: small
seeds:
- 0
- 1
dataset:
  name: digits
normalize:
  name: computed
model:
  name: tau_resnet
  depth: 8
  norm: batch
  tau: 1.0
augment:
- name: pad_crop
  padding: 1
loss:
  name: cross_entropy
optimizer:
  name: sgd
  lr: 0.1
  momentum: 0.9
  weight_decay: 1e-4
  scalar_lr: 0.1
schedule:
  name: cosine
train:
  epochs: 2
  batch_size: 128
experiments:
  plain-tau: {}
  own-tau:
    model:
      norm: none
      tau: 1/sqrt(L)
report:
  title: Small
"""


def clone(target: Path, params: str | None = None) -> Path:
    """Clone this working tree as it stands, committed or not, as a user would the repository."""
    origin = target.parent / f"{target.name}-origin"
    listed = _git(REPOSITORY, "ls-files", "--cached", "--others", "--exclude-standard").splitlines()
    for name in listed:
        if (REPOSITORY / name).is_file():
            (origin / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, origin / name)
    if params is not None:
        (origin / "params.yaml").write_text(params)
        shutil.rmtree(origin / "metrics")
        (origin / "dvc.lock").unlink()
    _git(origin, "init", "--quiet", "--initial-branch=main")
    commit(origin, "as it stands")
    _git(origin.parent, "clone", "--quiet", str(origin), str(target))
    return target


def built_once(folder: Path, build: Callable[[Path], None]) -> Path:
    """The folder that `build` makes, once for all worker processes of the session."""
    folder.parent.mkdir(exist_ok=True)
    done = folder.with_name(f"{folder.name}-done")
    with FileLock(folder.with_name(f"{folder.name}-lock")):
        if not done.exists():
            build(folder)
            done.touch()
    return folder


def copy(folder: Path, target: Path) -> Path:
    """A copy of a project that others may be reading, to change at will: without what SQLite keeps beside an open store."""
    shutil.copytree(folder, target, symlinks=True, ignore=shutil.ignore_patterns("mlflow.db-*"))
    return target


def commit(folder: Path, message: str) -> None:
    """Commit everything."""
    _git(folder, "add", "--all")
    _git(folder, "-c", "user.name=test", "-c", "user.email=test@example.org", "commit", "--quiet", "--message", message)


def _git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


def environment(*, fresh: bool = False) -> dict[str, str]:
    """This interpreter's tools first, as in an activated virtual environment; git may commit; compiled Python is kept.

    Their libraries are loaded already, unless they are to start `fresh`.
    """
    who = {f"GIT_{role}_{what}": "test@example.org" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    path = os.pathsep.join([*([] if fresh else [str(loaded.tools())]), str(Path(sys.executable).parent), os.environ["PATH"]])
    return os.environ | who | {"PATH": path, "COLUMNS": "200", "PYTHONDONTWRITEBYTECODE": ""}


def call(folder: Path, *command: str, check: bool = True) -> subprocess.CompletedProcess:
    """Run a command in a folder and keep what it prints; fail with all of it if it fails."""
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise AssertionError(f"{' '.join(command)} -> {done.returncode}\n{done.stdout[-6000:]}\n{done.stderr[-6000:]}")
    return done


def start(folder: Path, *command: str) -> subprocess.Popen:
    """Start a command in a process group of its own."""
    return subprocess.Popen(
        command,
        cwd=folder,
        env=environment(fresh=True),
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def records(folder: Path) -> dict[tuple[str, int], dict]:
    """(experiment, seed) -> record as train left it."""
    paths = folder.glob("data/runs/*/seed*/record.json")
    return {(path.parts[-3], json.loads(path.read_text())["seed"]): json.loads(path.read_text()) for path in paths}


def starts(folder: Path) -> dict:
    """When each network was started, and the weights it gave: unchanged means not trained again."""
    return {
        key: (record["started"], digest(folder / "data" / "runs" / key[0] / f"seed{key[1]}" / "model.safetensors"))
        for key, record in records(folder).items()
    }


def digest(path: Path) -> str:
    """The sha256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def forget(folder: Path, experiment: str, seeds: Sequence[int] = (0, 1)) -> None:
    """Delete what was trained of an experiment, also where DVC and the stage would find it again.

    DVC fetches from its cache what dvc.lock knows, or what a run with the same dependencies gave.
    """
    for (name, seed), record in records(folder).items():
        if name == experiment and seed in seeds:
            shutil.rmtree(folder / "checkpoints" / record["identity"] / f"seed{seed}")
            shutil.rmtree(folder / "data" / "runs" / name / f"seed{seed}")
    shutil.rmtree(folder / ".dvc" / "cache" / "runs", ignore_errors=True)
    lock = YAML().load(folder / "dvc.lock")
    del lock["stages"][f"train@{experiment}"]
    YAML().dump(lock, folder / "dvc.lock")


def runs_in_mlflow(folder: Path, study: str = "small") -> list:
    """The trained networks that the project's MLflow store holds."""
    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    found = client.search_runs([client.get_experiment_by_name(study).experiment_id])
    return [run for run in found if run.data.tags["kind"] == "network"]


def edit(folder: Path, name: str, old: str, new: str) -> None:
    """Replace text that must be there."""
    text = (folder / name).read_text()
    assert old in text
    (folder / name).write_text(text.replace(old, new, 1))


def free_port() -> int:
    """A TCP port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
