"""kill -9 just before every kind of change to a file, a lock or a store: the same command again ends in the same bytes."""

import json
import shlex
import signal
import subprocess
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient
from project import SMALL_PARAMS, built_once, call, clone, copy, digest, environment, forget, runs_in_mlflow
from test_survival import wait_for_processes_to_end

ONE_EXPERIMENT = SMALL_PARAMS.replace("  own-tau:\n    model:\n      norm: none\n      tau: 1/sqrt(L)\n", "")
REPRO = ["dvc", "repro"]
SAMPLE = [
    "os.rename checkpoints/*/seedN/finished",
    "COMMIT in a store of MLflow",  # the run after the one above logs what was finished: it always comes to this
]
EMPTY_FOLDERS = "find .dvc/cache/runs -type d -empty -delete"  # DVC's known limit, as docs/reliability.md has it
SHARDS = 12  # of all points, so that workers share them
FEWEST = 100  # points of `dvc repro`; the promise is 60
VARIES = {"seconds", "images_per_second", "started", "resumed", "commit", "dirty"}


class Watched:
    """Runs commands in a project under the eyes of tests/support/kill_points."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log, self.done = folder, folder.with_name("points"), folder.with_name("killed-at")

    def run(self, command: list[str], at: str = "") -> int:
        """Run to the end, or until the point `at`; return the exit status."""
        watch = {"ROOT": self.folder, "LOG": self.log, "DONE": self.done, "AT": at}
        eyes = {"PYTHONPATH": str(Path(__file__).parents[1] / "support" / "kill_points")}
        variables = environment(fresh=True) | eyes | {f"KILL_POINTS_{name}": str(value) for name, value in watch.items()}
        with self.folder.with_name("printed").open("w") as printed:
            return subprocess.run(
                command, cwd=self.folder, env=variables, start_new_session=True, stdout=printed, stderr=printed, check=False
            ).returncode

    def points(self) -> list[str]:
        """The names of all points that were reached, in order, each once."""
        return list(dict.fromkeys(self.log.read_text(encoding="utf-8").splitlines()))


@pytest.fixture(scope="session")
def untouched(shared) -> Path:
    """A project in which nothing has run yet."""
    return built_once(shared / "untouched" / "reslab", lambda folder: clone(folder, ONE_EXPERIMENT) and None)


@pytest.fixture(scope="session")
def straight(untouched, shared) -> Path:
    """The project after `dvc repro`, never killed; the points that it passed are beside it."""

    def build(folder: Path) -> None:
        assert Watched(copy(untouched, folder)).run(REPRO) == 0

    return built_once(shared / "straight" / "reslab", build)


def kill_and_run_again(folder: Path, after: Path, points: list[str]) -> list[str]:
    """Kill everything at one point after the other; the same command again gives what was never killed. Returns the points not met.

    A run that goes on after a kill may not pass a point that a whole one passes: it comes to its end instead.
    """
    watched = Watched(folder)
    met = 0
    while met < len(points) and (status := watched.run(REPRO, at=points[met])) == -signal.SIGKILL and watched.done.exists():
        wait_for_processes_to_end(folder)
        subprocess.run(shlex.split(EMPTY_FOLDERS), cwd=folder, check=False)
        watched.done.unlink()
        met += 1
    assert met == len(points) or status == 0, (points[met], status)
    call(folder, *REPRO)
    assert contents(folder) == contents(after), points
    assert call(folder, *REPRO).stdout.count("Running stage") == 0
    expected = sorted(run.info.run_name for run in runs_in_mlflow(after))
    assert sorted(run.info.run_name for run in runs_in_mlflow(folder)) == expected, points
    assert not list(folder.glob("checkpoints/*/seed*/draft")), points
    return points[met:]


def contents(folder: Path) -> dict:
    """Checksums of all that does not depend on the clock, and the records without what does."""
    found = {
        str(path.relative_to(folder)): digest(path)
        for part in ("checkpoints/*/seed*/finished/[mh]*", "data/runs/*/*/[mh]*", "data/predictions/*/*/*", "metrics/models/*")
        for path in folder.glob(part)
    }
    found |= {str(path.relative_to(folder)): digest(path) for path in folder.glob("metrics/history/*")}
    for path in folder.glob("metrics/runs/*.json"):
        runs = json.loads(path.read_text(encoding="utf-8"))["runs"]
        found[path.name] = [{key: value for key, value in run.items() if key not in VARIES} for run in runs]
    return found


@pytest.mark.slow
def test_a_kill_loses_nothing(trained, project):
    """In a study of which one experiment is trained, the other not yet."""
    forget(project, "plain-tau")
    for run in runs_in_mlflow(project):
        if run.data.tags["experiment"] == "plain-tau":
            MlflowClient(f"sqlite:///{project / 'mlflow.db'}").delete_run(run.info.run_id)
    assert not kill_and_run_again(project, trained, SAMPLE)


@pytest.mark.exhaustive
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("shard", range(SHARDS))
def test_a_kill_anywhere_loses_nothing(untouched, straight, tmp_path, shard):
    """One project is killed at every twelfth point, from the first to the last; a new one at those that it did not come to."""
    points = Watched(straight).points()
    assert len(points) >= FEWEST
    waiting, number = points[shard::SHARDS], 0
    while waiting:
        left = kill_and_run_again(copy(untouched, tmp_path / str(number) / "reslab"), straight, waiting)
        assert len(left) < len(waiting), f"{waiting[0]}: never reached"
        print(f"survived {len(waiting) - len(left)}:", *waiting[: len(waiting) - len(left)], sep="\n  ")
        waiting, number = left, number + 1
