"""A network in a job of a real Slurm, which is stopped in the middle."""

import json
import os
from pathlib import Path

import pytest
import slurm_cluster

from reslab import config
from reslab.grid import queue, slurm, watch
from reslab.grid.cluster import Cluster
from reslab.grid.networks import PROGRESS, of_study
from reslab.grid.states import state

pytestmark = [pytest.mark.pipeline, pytest.mark.slow]


@pytest.fixture
def environment(tmp_path, monkeypatch):
    slurm_cluster.skip_without()
    pytest.importorskip("submitit")
    (tmp_path / "slurm").mkdir()
    started = slurm_cluster.start(tmp_path / "slurm")
    monkeypatch.setenv("SLURM_CONF", started["SLURM_CONF"])
    yield started
    slurm_cluster.stop(tmp_path / "slurm")


def test_a_network_goes_on_after_the_end_of_its_time_and_the_loss_of_its_node(project, environment, monkeypatch):
    """It is trained by two processes."""
    monkeypatch.chdir(project)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(project / "src"), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setattr(watch, "SECONDS_BETWEEN_LOOKS", 0.5)
    (network, *_) = of_study(config.load(Path("params.yaml")), Path("data/prepared").resolve(), {"dirty": False}, processes=2)
    network.folder.finished.rename(project / "before")
    (network.folder.path / PROGRESS).unlink(missing_ok=True)
    asked = Cluster(engine="slurm", processes=2)
    (number,) = slurm.submit([network], asked)
    halted = slurm_cluster.halt(network.folder.path)
    slurm_cluster.ask(environment, "scancel", "--signal=USR2", number)  # as Slurm does before the time is over
    network.tell(PROGRESS, {"doing": ""})
    halted.resume()
    slurm_cluster.wait(lambda: state(network, queue.jobs()) == "waiting")
    assert network.folder.checkpoint.exists()
    slurm_cluster.start_now(number, environment)
    slurm_cluster.halt(network.folder.path)
    slurm_cluster.lose_node(project.parent / "slurm", environment)
    assert state(network, queue.jobs()) == "waiting"
    slurm_cluster.bring_node_back(project.parent / "slurm", environment)
    slurm_cluster.start_now(number, environment)  # Slurm may end it once more: it still clears up after the first
    watch.wait_for([network], lambda early: slurm.submit_missing(early, asked))
    record = json.loads((network.folder.finished / "record.json").read_text())
    assert record["resumed"] >= 1 and {each["processes"] for each in record["processes"]} == {2}
