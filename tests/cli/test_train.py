"""`reslab train`: missing networks by this machine's cores and by a real Slurm, then nothing is left for `dvc repro` to train."""

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest
import slurm_cluster
from project import call

from reslab.errors import UserError
from reslab.grid import cluster, slurm
from reslab.grid.cluster import Cluster
from reslab.grid.networks import PROGRESS, SUBMITTED, Network
from reslab.grid.queue import Queued, Ticket
from reslab.grid.states import state
from reslab.runs.jobs import Job

SLURM = "engine: slurm\nhours: 0.5\nat_once: 2\ngpus: 1\n"


def test_a_cluster_file_is_checked(tmp_path):
    path = tmp_path / "cluster.yaml"
    path.write_text("engine: slurm\nprocessors: 3\n")
    with pytest.raises(UserError, match=r"cluster.yaml: cluster: .*processors"):
        cluster.read(path)
    path.write_text("networks_per_job: 4\nprocesses: 2\n")
    with pytest.raises(UserError, match=r"cluster.yaml: cluster.networks_per_job: .* give processes: 1"):
        cluster.read(path)
    path.write_text("engine: pbs\n")
    with pytest.raises(UserError, match=r"cluster.engine.*local.*slurm"):
        cluster.read(path)
    path.write_text("")
    assert cluster.read(path) == Cluster()
    with pytest.raises(UserError, match="no such file"):
        cluster.read(tmp_path / "other.yaml")


def test_what_slurm_is_asked_for():
    """All for two processes."""
    chosen = Cluster(engine="slurm", processes=2, gpus=1, cpus=4, hours=1.5, memory_gb=0.5, partition="gpu", setup=["x"])
    asked = slurm.asked(chosen)
    assert (asked["time"], asked["gres"], asked["cpus_per_task"], asked["mem"]) == (90, "gpu:2", 8, "1024M")
    assert (asked["partition"], asked["setup"][1:], "account" in asked) == ("gpu", ["x"], False)


def test_without_sbatch_it_is_said(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match="there is no sbatch here"):
        slurm.check_here()


def test_the_state_of_a_network(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    network = Network(Job("plain", {}, "abc", 0, Path(), {}, 1))
    assert state(network, {}) == "missing"
    network.tell(PROGRESS, {"doing": "training"})
    assert state(network, {}) == "stopped"
    network.tell(PROGRESS, {"doing": "failed", "why": "no"})
    assert state(network, {}) == "failed"
    network.tell(SUBMITTED, {"name": "reslab-1", "user": "0", "place": "0"})
    ticket = Ticket("reslab-1", "0", "0")
    found = [state(network, {ticket: Queued(each)}) for each in ("PENDING", "RUNNING", "REQUEUED")]
    assert found == ["waiting", "running", "waiting"]
    for other in (ticket._replace(name="reslab-2"), ticket._replace(user="1")):  # of another submission, on another cluster
        assert state(network, {other: Queued("RUNNING")}) == "failed"
    with network.folder.locked():
        assert state(network, {}) == "running"
    network.folder.finished.mkdir()
    assert state(network, {ticket: Queued("RUNNING")}) == "done"


def histories(project: Path) -> dict[str, bytes]:
    """What each finished network's history holds, by identity and seed."""
    found = sorted((project / "checkpoints").glob("*/seed*/finished/history.csv"))
    return {str(path.relative_to(project)): path.read_bytes() for path in found}


def reslab(project: Path, *arguments: str, check: bool = True, **environment: str) -> subprocess.CompletedProcess:
    assigned = [f"{name}={value}" for name, value in {"PYTHONPATH": "src", **environment}.items()]
    return call(project, "env", *assigned, "python", "-c", "from reslab.cli import main; main()", *arguments, check=check)


def forget(project: Path) -> dict[str, bytes]:
    """Delete the finished networks; returns what they were."""
    before = histories(project)
    shutil.rmtree(project / "checkpoints")
    return before


def test_all_networks_are_trained_here_and_collected(project):
    before = forget(project)
    planned = reslab(project, "train", "--dry-run").stdout
    assert "plain-tau" in planned
    said = reslab(project, "train")
    assert "4 networks, 0 finished, 4 to start" in said.stdout
    assert histories(project) == before
    assert "4 done" in reslab(project, "train", "--status").stdout
    assert "4 finished, 0 to start" in reslab(project, "train").stdout
    assert "nothing to cancel" in reslab(project, "train", "--cancel", check=False).stderr


@pytest.fixture
def cluster_here(tmp_path) -> dict[str, str]:
    slurm_cluster.skip_without()
    pytest.importorskip("submitit")
    folder = tmp_path / "slurm"
    folder.mkdir()
    yield slurm_cluster.start(folder)
    slurm_cluster.stop(folder)


@pytest.mark.slow
def test_slurm_trains_the_same_bytes_through_a_requeue(project, cluster_here):
    """An array of four jobs; one is held, one is queued again in the middle of its training, and nothing is submitted twice."""
    before = forget(project)
    (project / "cluster.yaml").write_text(SLURM)
    assert "submitted 4 jobs" in reslab(project, "train", "--no-wait", **cluster_here).stdout
    assert "submitted 0 jobs" in reslab(project, "train", "--no-wait", **cluster_here).stdout
    job = running_job(project, cluster_here)
    place = f'"place": "{job.partition("_")[2]}"'
    (folder,) = (path.parent for path in project.glob("checkpoints/*/seed*/submitted.json") if place in path.read_text())
    slurm_cluster.halt(folder)
    assert set(slurm_cluster.ask(cluster_here, "squeue", "-h", "-o", "%b").split()) == {"gres:gpu:1"}
    held = f"{job.partition('_')[0]}_3"
    subprocess.run(["scontrol", "uhold", held], env=os.environ | cluster_here, check=True)
    assert "(JobHeldUser: `scontrol release JOB` lets it start)" in reslab(project, "train", "--status", **cluster_here).stdout
    subprocess.run(["scontrol", "release", held], env=os.environ | cluster_here, check=True)
    requeue(job, os.environ | cluster_here)
    said = reslab(project, "train", **cluster_here)
    assert said.stdout.endswith("all networks are finished; `dvc repro` collects them\n")
    assert histories(project) == before
    assert json.loads((folder / "finished" / "record.json").read_text())["resumed"] == 1
    assert "no job of this study" in reslab(project, "train", "--cancel", **cluster_here).stdout


def requeue(job: str, environment: dict[str, str]) -> None:
    """Let Slurm stop a job and start it again, without the two minutes that it waits by itself."""
    subprocess.run(["scontrol", "requeue", job], env=environment, check=True)
    slurm_cluster.start_now(job, environment)


def running_job(project: Path, environment: dict[str, str]) -> str:
    """The number of a job that runs, once there is one."""
    command = ["squeue", "-h", "-r", "-t", "RUNNING", "-o", "%i"]
    while True:
        found = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=True)
        if found.stdout.split():
            return found.stdout.split()[0]
        assert any(json.loads(path.read_text()) for path in (project / "checkpoints").glob("*/seed*/submitted.json"))
        time.sleep(0.2)
