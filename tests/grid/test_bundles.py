"""Networks that share a process take turns on the CPU here as they would on a GPU."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import slurm_cluster

from reslab import config
from reslab.grid import local, work
from reslab.grid.cluster import Cluster
from reslab.grid.networks import PROGRESS, Network, of_study
from reslab.grid.states import state

pytestmark = pytest.mark.pipeline


@pytest.fixture
def found(project, monkeypatch) -> list[Network]:
    """The small study's networks, none of which is trained."""
    monkeypatch.chdir(project)
    networks = of_study(config.load(Path("params.yaml")), Path("data/prepared").resolve(), {"commit": "abc", "dirty": False})
    for folder in Path("checkpoints").glob("*"):
        shutil.move(folder, project.parent)
    return networks


def histories(networks: list[Network], before: Path) -> list[tuple[bytes, bytes]]:
    """Of each network, and of the same one before."""
    paths = [network.folder.finished / "history.csv" for network in networks]
    return [(path.read_bytes(), (before / path.relative_to(path.parents[3])).read_bytes()) for path in paths]


def test_a_network_that_fails_beside_others_says_why_and_they_finish(found, project, monkeypatch):
    """As on a machine with one GPU: each that has finished is told of."""
    broken = Network(replace(found[0].job, data=Path("nowhere")))
    monkeypatch.setattr(local, "has_gpu", lambda: True)
    monkeypatch.setattr(local, "gpus", lambda: ["0"])
    monkeypatch.setattr(local, "bundles", lambda jobs, *_: [work.Bundle(("cpu",), tuple(jobs), 3)])
    done: list[Network] = []
    with pytest.raises(Exception, match="nowhere"):
        local.train([broken, *found[1:3]], Cluster(), done.append)
    assert sorted(network.name for network in done) == sorted(network.name for network in found[1:3])
    assert "nowhere" in broken.told(PROGRESS)["why"] and state(broken, {}) == "failed"
    assert all(now == before for now, before in histories(done, project.parent))


def test_networks_over_two_gpus_train_one_after_the_other_also_if_one_fails(found, monkeypatch):
    """By two processes on the CPU here."""
    monkeypatch.setattr(local, "has_gpu", lambda: True)
    monkeypatch.setattr(local, "gpus", lambda: ["0", "1"])
    monkeypatch.setenv("RESLAB_DEVICE", "cpu")
    broken = Network(replace(found[0].job, processes=2, data=Path("nowhere")))
    good = Network(replace(found[1].job, processes=2))
    done: list[Network] = []
    with pytest.raises(Exception, match="nowhere"):
        local.train([broken, good], Cluster(processes=2), done.append)
    assert [network.name for network in done] == [good.name] and state(broken, {}) == "failed"


def test_networks_of_one_job_save_when_it_is_told_to_stop_and_go_on(found, project):
    """As a job of Slurm with several networks: `python -m reslab.grid.work FILE`."""
    file = work.handed(found[2:])
    command = [sys.executable, "-m", "reslab.grid.work", str(file)]
    job = subprocess.Popen(command, cwd=project, env=os.environ | {"RESLAB_DEVICE": "cpu"}, stderr=subprocess.PIPE)
    halted = slurm_cluster.halt(found[2].folder.path)
    while slurm_cluster.doing(found[3].folder.path) != "training":  # until then in slices, for the first must not finish
        halted.resume()
        time.sleep(0.01)
        halted.suspend()
    job.send_signal(signal.SIGTERM)
    halted.resume()
    assert job.wait(60) == 128 + signal.SIGTERM
    saved = [network for network in found[2:] if network.folder.checkpoint.exists() or network.finished]
    assert len(saved) == 2 and not all(network.finished for network in saved)
    subprocess.run(command, cwd=project, check=True)
    assert all(now == before for now, before in histories(found[2:], project.parent))
    records = [json.loads((network.folder.finished / "record.json").read_text()) for network in found[2:]]
    assert [record["at_once"] for record in records] == [2, 2]
