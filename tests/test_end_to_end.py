"""The real thing: fresh clones, real `dvc repro`, real experiments, kills and comparisons."""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import time
import urllib.request
from pathlib import Path

import pandas as pd
import pytest
from mlflow.tracking import MlflowClient
from project import SMALL_PARAMS, call, clone, commit, environment, start

EXPERIMENTS = ("plain-tau", "own-tau")


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A fresh clone of the small study after `dvc repro`, committed; tests copy it."""
    folder = clone(tmp_path_factory.mktemp("small") / "reslab", SMALL_PARAMS)
    call(folder, "dvc", "repro")
    commit(folder, "results")
    return folder


@pytest.fixture
def project(trained, tmp_path) -> Path:
    """A copy of the trained small study, to change at will."""
    folder = tmp_path / "reslab"
    shutil.copytree(trained, folder, symlinks=True)
    return folder


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
    return hashlib.sha256(path.read_bytes()).hexdigest()


def runs_in_mlflow(folder: Path, study: str = "small") -> list:
    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    found = client.search_runs([client.get_experiment_by_name(study).experiment_id])
    return [run for run in found if run.info.run_name != "summary"]


def edit(folder: Path, name: str, old: str, new: str) -> None:
    text = (folder / name).read_text()
    assert old in text
    (folder / name).write_text(text.replace(old, new, 1))


def test_the_shipped_study_shows_tau_rescuing_the_deep_net(tmp_path):
    """The main job of the README, as shipped: clone, repro, table; a second repro does nothing."""
    folder = clone(tmp_path / "reslab")
    call(folder, "dvc", "repro")
    table = pd.read_csv(folder / "metrics" / "tables" / "results.csv").set_index("experiment")
    assert len(table) >= 6
    assert (table["n"] + table["diverged"] == 3).all()
    assert table["diverged"]["resnet110-nobn"] == 3
    assert table["diverged"]["resnet110-nobn-tau"] == 0
    assert table["mean"]["resnet110-nobn-tau"] < 0.10
    assert table["mean"]["resnet020-bn"] < 0.05
    assert "diverged (3 of 3)" in (folder / "metrics" / "tables" / "results.md").read_text()
    assert "Data and pipelines are up to date." in call(folder, "dvc", "repro").stdout
    names = {run.info.run_name for run in runs_in_mlflow(folder, "digits-tau")}
    assert names == {f"{name}-s{seed}" for name in table.index for seed in range(3)}


def test_everything_promised_is_there(trained):
    record = records(trained)["own-tau", 1]
    assert record["tau"] == pytest.approx(3**-0.5)
    assert record["config"]["model"] == {"name": "tau_resnet", "depth": 8, "norm": "none", "tau": "1/sqrt(L)"}
    for key in ("parameters", "test_error", "test_loss", "seconds", "images_per_second", "device", "threads", "torch", "precision"):
        assert record[key] is not None
    assert record["layout"] == "channels_last"
    assert re.fullmatch("[0-9a-f]{40}", record["commit"])
    assert record["dirty"] is False
    for name in ("curves.svg", "depth_and_tau.svg"):
        assert (trained / "metrics" / "plots" / name).read_text().lstrip().startswith("<?xml")
    stored = json.loads((trained / "metrics" / "runs" / "own-tau.json").read_text())["runs"]
    history = pd.read_csv(trained / "metrics" / "history" / "own-tau.csv")
    last = history.groupby("seed").last()["test_error"].tolist()
    assert [run["test_error"] for run in stored] == last  # the stored weights give the error that training saw
    assert {run.info.run_name for run in runs_in_mlflow(trained)} == {f"{name}-s{seed}" for name in EXPERIMENTS for seed in (0, 1)}
    assert {run.data.params["tau"] for run in runs_in_mlflow(trained)} == {"1.0", "0.5773503"}


def test_nothing_to_do_is_said(project):
    assert "Data and pipelines are up to date." in call(project, "dvc", "repro").stdout


def test_a_new_seed_trains_that_seed_only(project):
    before = starts(project)
    edit(project, "params.yaml", "- 0\n- 1\n", "- 0\n- 1\n- 2\n")
    call(project, "dvc", "repro")
    after = starts(project)
    assert {key: after[key] for key in before} == before
    assert set(after) - set(before) == {(name, 2) for name in EXPERIMENTS}
    assert pd.read_csv(project / "metrics" / "tables" / "results.csv")["n"].tolist() == [3, 3]


def test_comments_and_new_entries_train_nothing_and_behaviour_does(project):
    before = starts(project)
    edit(project, "src/reslab/training/engine.py", "    step, epoch = ", "    # a comment\n    step, epoch = ")
    edit(project, "src/reslab/models/resnet.py", "def plain(", "def unused():\n    return None\n\n\ndef plain(")
    printed = call(project, "dvc", "repro").stdout
    assert "Running stage 'describe@own-tau'" in printed
    assert starts(project) == before
    edit(
        project,
        "src/reslab/models/tau_resnet.py",
        "out = self.conv2(out + self.bias2a) + self.bias2b",
        "out = self.conv2(out + self.bias2a)",
    )
    call(project, "dvc", "repro", "train")
    after = starts(project)
    assert {key for key in before if after[key] == before[key]} == {("plain-tau", 0), ("plain-tau", 1)}


def test_an_experiment_without_a_typo_is_not_trained_before_one_with_it_is_refused(project):
    before = starts(project)
    edit(
        project,
        "params.yaml",
        "  own-tau:\n    model:\n",
        "  own-tau:\n    model:\n      width: 8\n  third:\n    model:\n      dpeth: 8\n",
    )
    done = call(project, "dvc", "repro", check=False)
    assert done.returncode != 0
    assert "error: params.yaml: experiments.third: model: unknown key 'dpeth' (did you mean 'depth'?)" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert "Running stage 'train" not in done.stdout
    assert before == starts(project)


def test_a_typo_at_the_top_level_is_not_silently_ignored(project):
    with (project / "params.yaml").open("a") as params:
        params.write("scedule:\n  name: cosine\n")
    done = call(project, "dvc", "repro", check=False)
    assert done.returncode != 0
    assert "error: params.yaml: unknown key 'scedule' (did you mean 'schedule'?)" in done.stderr


LONG = SMALL_PARAMS.replace("epochs: 2", "epochs: 40").replace(
    "  own-tau:\n    model:\n      norm: none\n      tau: 1/sqrt(L)\n", ""
)


def test_kill_and_repro_again_ends_in_the_same_bytes(tmp_path):
    straight, killed = clone(tmp_path / "straight", LONG), clone(tmp_path / "killed", LONG)
    call(straight, "dvc", "repro", "train")
    for seconds in (0.5, 1.0):  # twice, the second time in the resumed run
        process = start(killed, "dvc", "repro", "train")
        wait_for_new_checkpoint(killed, process)
        time.sleep(seconds)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert not list(killed.glob("checkpoints/*/seed*/finished"))
    call(killed, "dvc", "repro", "train")
    assert {record["resumed"] for record in records(killed).values()} == {2}
    for seed in (0, 1):
        for name in ("model.safetensors", "history.csv"):
            path = Path("data/runs/plain-tau", f"seed{seed}", name)
            assert digest(killed / path) == digest(straight / path), path


def wait_for_new_checkpoint(folder: Path, process: subprocess.Popen) -> None:
    """Wait until both seeds have written a checkpoint in this run."""
    began = time.time()
    while process.poll() is None and time.time() - began < 120:
        found = list(folder.glob("checkpoints/*/seed*/checkpoint.pt"))
        if len(found) == 2 and all(path.stat().st_mtime > began for path in found):
            return
        time.sleep(0.05)
    pytest.fail(f"no checkpoint before the run ended (status {process.poll()})")


def test_a_killed_dvc_leaves_no_process_that_writes_on(tmp_path):
    folder = clone(tmp_path / "reslab", LONG)
    process = start(folder, "dvc", "repro", "train")
    wait_for_new_checkpoint(folder, process)
    stage = next(int(path.name) for path in Path("/proc").glob("[0-9]*") if is_train_stage(path, folder))
    os.kill(process.pid, signal.SIGKILL)
    os.kill(stage, signal.SIGKILL)
    process.wait()
    call(folder, "dvc", "repro", "train")  # waits for the orphans' locks, if they still live, and takes over
    assert all(record["status"] == "finished" for record in records(folder).values())


def is_train_stage(process: Path, folder: Path) -> bool:
    try:
        command = (process / "cmdline").read_bytes()
        return command.startswith(b"python\0stages/train.py") and (process / "cwd").resolve() == folder.resolve()
    except OSError:
        return False


def test_losing_mlflow_costs_nothing(project):
    names = {run.info.run_name for run in runs_in_mlflow(project)}
    (project / "mlflow.db").unlink()
    shutil.rmtree(project / "mlartifacts")
    assert "Data and pipelines are up to date." in call(project, "dvc", "repro").stdout
    for _ in range(2):  # the second time changes nothing
        assert "4 networks of the study small are in MLflow" in call(project, "reslab", "relog").stdout
        assert {run.info.run_name for run in runs_in_mlflow(project)} == names
        assert len(runs_in_mlflow(project)) == 4


def test_a_dead_tracking_server_stops_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    folder = clone(tmp_path / "reslab", SMALL_PARAMS)
    done = call(folder, "dvc", "repro")
    assert "warning: own-tau-s0 not logged to MLflow" in done.stderr
    assert len(records(folder)) == 4


def test_experiments_queue_and_comparisons(project):
    """The commands of the README, in its order."""
    before = runs_in_mlflow(project)
    call(project, "dvc", "exp", "run", "-S", "model.tau=0.136", "--name", "tau136")
    assert records(project)["plain-tau", 0]["tau"] == 0.136
    assert "0.136" in call(project, "dvc", "params", "diff").stdout
    assert len(runs_in_mlflow(project)) == len(before) + 2  # own-tau has its own rule and was not trained again
    call(project, "git", "checkout", "--quiet", ".")
    call(project, "dvc", "checkout", "--quiet")

    call(project, "dvc", "exp", "run", "--queue", "-S", "model.tau=0.1,0.2")
    call(project, "dvc", "queue", "start")
    wait_for_queue(project, 2)
    shown = json.loads(call(project, "dvc", "exp", "show", "--json").stdout)
    taus = {taus_of(experiment) for row in shown for experiment in (row["experiments"] or [])}
    assert taus == {0.1, 0.136, 0.2}
    assert len(runs_in_mlflow(project)) == len(before) + 6  # queued runs log to the main checkout's store

    call(project, "dvc", "exp", "branch", "tau136", "smaller-tau")
    diff = call(project, "dvc", "metrics", "diff", "main", "smaller-tau").stdout
    assert "plain-tau.error_percent" in diff
    assert "own-tau" not in diff  # unchanged numbers are hidden
    page = call(project, "dvc", "plots", "diff", "main", "smaller-tau").stdout.strip().splitlines()[-1]
    html = Path(page.removeprefix("file://")).read_text()
    assert '"rev": "smaller-tau"' in html
    assert '"field": "experiment"' in html
    assert "test_error_percent" in html
    call(project, "dvc", "plots", "show")
    call(project, "git", "checkout", "--quiet", "smaller-tau")
    call(project, "dvc", "checkout", "--quiet")
    assert "Data and pipelines are up to date." in call(project, "dvc", "repro").stdout


def taus_of(experiment: dict) -> float:
    return experiment["revs"][0]["data"]["params"]["params.yaml"]["data"]["model"]["tau"]


def wait_for_queue(folder: Path, count: int) -> None:
    for _ in range(240):
        status = call(folder, "dvc", "queue", "status").stdout
        assert "Failed" not in status, status
        if status.count("Success") == count:
            return
        time.sleep(1)
    pytest.fail(f"the queue did not finish:\n{status}")


def test_a_new_experiment_on_the_fly(project):
    call(project, "dvc", "exp", "run", "-S", "+experiments.third={model: {tau: 0.3}}")
    assert records(project)["third", 1]["tau"] == 0.3


def test_parallel_gives_the_same_networks(trained, tmp_path):
    folder = clone(tmp_path / "reslab", SMALL_PARAMS)
    call(folder, "reslab", "parallel", "--jobs", "2")
    weights = {key: value[1] for key, value in starts(folder).items()}
    assert weights == {key: value[1] for key, value in starts(trained).items()}
    assert "Data and pipelines are up to date." in call(folder, "dvc", "repro").stdout


def test_mlflow_ui_serves_the_runs(trained):
    command = ["mlflow", "ui", "--workers", "1", "--port", "5123", "--backend-store-uri", "sqlite:///mlflow.db"]
    settings = environment() | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    process = subprocess.Popen(
        command, cwd=trained, env=settings, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        page = fetch_when_up("http://127.0.0.1:5123/")
        assert "MLflow" in page
        client = MlflowClient("http://127.0.0.1:5123")
        experiment = client.get_experiment_by_name("small")
        found = client.search_runs([experiment.experiment_id], "tags.experiment = 'own-tau'")
        assert {run.info.run_name for run in found} == {"own-tau-s0", "own-tau-s1"}
        assert len(client.get_metric_history(found[0].info.run_id, "test/error")) == 2
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def fetch_when_up(url: str) -> str:
    for _ in range(600):
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return answer.read().decode()
        except OSError:
            time.sleep(0.1)
    pytest.fail(f"{url} did not answer within a minute")


@pytest.mark.local_data
def test_cifar10_as_a_folder_of_jpegs_trains(tmp_path, local_data):
    """The real images end to end, one short epoch."""
    dataset = f"  name: image_folder\n  source: {local_data.resolve()}/cifar10-jpeg.tar.xz\n  image_size: 32"
    params = SMALL_PARAMS.replace("  name: digits", dataset).replace("  epochs: 2", "  iterations: 60").replace("- 1\n", "")
    folder = clone(tmp_path / "reslab", params)
    call(folder, "dvc", "repro", "evaluate@plain-tau")
    assert records(folder)["plain-tau", 0]["test_error"] < 0.85
