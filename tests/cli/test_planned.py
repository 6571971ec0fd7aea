"""What is said and refused before anything is trained: the plan of `reslab train`, and too many processes for a batch."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from reslab import config
from reslab.cli.train import estimated, hours_of
from reslab.cost import machines
from reslab.cost.links import LINKS, Wiring
from reslab.cost.sharing import shared
from reslab.data.sizes import size_facts
from reslab.errors import UserError
from reslab.grid.cluster import Cluster
from reslab.grid.networks import SUBMITTED, of_study
from reslab.grid.queue import Queued, Ticket

pytestmark = pytest.mark.pipeline
MACHINE = "nvidia-h200-predicted"


def test_the_plan_counts_what_would_be_started_by_the_model_of_shared_networks(project, monkeypatch, capsys):
    """Two processes do not take half the time; of four networks one is finished and one waits."""
    monkeypatch.chdir(project)
    study, chosen = (
        config.load(Path("params.yaml")),
        Cluster(processes=2, machine=MACHINE, link="nvlink", price=3600, currency="EUR"),
    )
    hours = hours_of(study, chosen)
    facts, machine = size_facts(study.dataset, study.validation, Path("data/prepared")), machines.read(MACHINE)
    expected = {name: shared(each, facts, machine, 2, Wiring(LINKS["nvlink"])).seconds for name, each in study.experiments.items()}
    assert {name: each * 3600 for name, each in hours.items()} == pytest.approx(expected)
    networks = of_study(study, Path("data/prepared"), {}, processes=2)
    for network in networks[1:]:
        network.folder.finished.rename(network.folder.path / "away")
    networks[1].tell(SUBMITTED, {"name": "one", "user": "0", "place": ""})
    estimated(networks, {Ticket("one", "0", ""): Queued("PENDING")}, hours, chosen)
    said = capsys.readouterr().out
    assert "2 networks would be started" in said and "1 more wait or run" in said
    assert f"{2 * 2 * expected['own-tau']:,.2f} EUR" in said


def test_too_many_processes_for_a_batch_are_refused_before_any_is_started(project, monkeypatch):
    monkeypatch.chdir(project)
    said = r"plain-tau: 129 processes are too many for batches of 128 images; give fewer"
    with pytest.raises(UserError, match=said):
        of_study(config.load(Path("params.yaml")), Path("data/prepared"), {}, processes=129)
    stage = [sys.executable, "stages/train.py", "plain-tau", "metrics/models/plain-tau.json", "data/runs/plain-tau"]
    run = subprocess.run(
        stage, env=os.environ | {"RESLAB_PROCESSES": "129"}, capture_output=True, text=True, check=False, timeout=60
    )
    assert run.returncode == 1 and said in run.stderr
    assert Path("data/runs/plain-tau/seed0").is_dir()  # what was there is left alone
