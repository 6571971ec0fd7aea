"""The time of a network over several processes: the formula, and what a step really exchanges."""

import pytest
import torch
from small_runs import run
from typer.testing import CliRunner

from reslab import config
from reslab.cli.app import app
from reslab.config import library
from reslab.cost.forward_work import forward_work
from reslab.cost.links import LINKS, Link, Wiring
from reslab.cost.machines import read
from reslab.cost.sharing import DECODE, GRADIENT_BYTES, PER_NORM, SUMS, exchange_seconds, shared, wired_seconds
from reslab.data.sizes import SIZES
from reslab.runs.ranks import Ranks

FACTS = {"image_shape": [3, 32, 32], "class_names": ["a"] * 10, "train": 50_000, "test": 10_000, "validation": 0}


@pytest.mark.parametrize("norm", ["batch", "none"])
def test_a_step_exchanges_what_the_model_says(norm, monkeypatch):
    """Of two processes the first, alone: what it would exchange is counted."""
    sent = []
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda tensor: sent.append(tensor.nbytes))
    made = run(model={"name": "tau_resnet", "depth": 8, "norm": norm, "tau": 0.5}, ranks=Ranks(0, 2))
    step = made.step()
    size = step.batches.begin(1)[0]
    step.batches.load(size)
    step(size)
    forward = forward_work(made.model, (3, 8, 8))
    assert len(sent) == 1 + SUMS + PER_NORM * forward.norms
    assert max(sent) == GRADIENT_BYTES * forward.parameters
    assert (forward.norms > 0) == (norm == "batch")


def test_the_ring_and_the_tree():
    link = Link(latency=1.0, bandwidth=10.0, source="")
    assert exchange_seconds(1000, 1, link) == 0
    assert exchange_seconds(1000, 2, link) == 2 + 100
    assert exchange_seconds(1000, 4, link) == pytest.approx(6 + 1.5 * 100)
    assert exchange_seconds(0, 512, link) == 18  # of the tree
    assert exchange_seconds(1e6, 512, link) == pytest.approx(1022 + 2 * 511 / 512 * 1e5)


def test_machines_are_wired_by_a_slower_link():
    inside, between = Link(latency=1.0, bandwidth=10.0, source=""), Link(latency=5.0, bandwidth=1.0, source="")
    wiring = Wiring(inside, per_machine=4, between=between)
    assert wired_seconds(1000, 4, wiring) == exchange_seconds(1000, 4, inside)
    assert wired_seconds(1000, 8, wiring) == exchange_seconds(1000, 4, inside) + exchange_seconds(250, 2, between)
    assert wired_seconds(1000, 8, Wiring(inside)) == exchange_seconds(1000, 8, inside)


def test_decoding_is_waited_for_where_it_is_slower():
    study = config.parse(library.compose("hysts-imagenet"))
    experiment, machine, facts = next(iter(study.experiments.values())), read("nvidia-h200-predicted"), SIZES["imagenet"]
    facts = facts | {"class_names": ["a"] * 1000, "validation": 0}
    few, many, none = (shared(experiment, facts, machine, 8, Wiring(LINKS["nvlink"]), decoders=n) for n in (1, 64, None))
    images = experiment.train.batch_size / 8
    assert few.decoding == pytest.approx(images * DECODE)
    assert many.decoding < many.compute + many.exchange < few.decoding
    assert few.seconds > 2 * none.seconds
    assert many.seconds == pytest.approx(none.seconds, rel=0.01)


def test_more_processes_are_quicker_and_less_efficient():
    study = config.parse(library.compose("hysts-wrn28-ricap-multi-gpu"))
    experiment, machine = study.experiments["gpus1"], read("geforce-gtx-1080-ti")
    found = [shared(experiment, FACTS, machine, count, Wiring(LINKS["nvlink"])) for count in (1, 2, 4, 8)]
    assert [each.efficiency for each in found] == sorted((each.efficiency for each in found), reverse=True)
    assert found[0].efficiency == 1
    assert found[0].seconds > found[1].seconds > found[2].seconds > found[3].seconds
    ghosts = shared(study.experiments["gpus8"], FACTS, machine, 8, Wiring(LINKS["nvlink"]))
    assert ghosts.exchange < found[3].exchange  # whose batch norm adds up the statistics of all


@pytest.mark.parametrize("link", ["wire", "nvlink:8", "nvlink:0,nvlink", "nvlink:8,wire", "nvlink,nvlink", ""])
def test_links_are_checked(link):
    line = ["estimate", "digits-tau", "--machine", "intel-xeon-1-thread", "--processes", "2", "--link", link]
    found = CliRunner().invoke(app, line)
    assert found.exit_code == 1
    assert "unknown link 'wire'" in str(found.exception) or f"--link '{link}': expected" in str(found.exception)


@pytest.mark.parametrize("counts", ["0", "1,", "two", "1,2,-3", "9" * 30, "1000"])
def test_numbers_of_processes_are_checked(counts):
    found = CliRunner().invoke(app, ["estimate", "digits-tau", "--machine", "intel-xeon-1-thread", "--processes", counts])
    assert found.exit_code == 1
    assert "expected numbers such as 1,2,8" in str(found.exception) or "give fewer" in str(found.exception)


def test_the_table_and_its_csv():
    line = ["estimate", "hysts-wrn28-ricap-multi-gpu", "--machine", "geforce-gtx-1080-ti", "--processes", "1,8", "--link"]
    shown = CliRunner().invoke(app, [*line, "nvlink"])
    assert "NOT measured" in shown.stdout
    assert "100%" in shown.stdout
    rows = CliRunner().invoke(app, [*line, "nvlink", "--csv"]).stdout.splitlines()
    assert rows[0] == "experiment,processes,step,exchange,one seed,efficiency"
    assert len(rows) == 1 + 2 * 4
    assert "unknown link 'wet string'" in str(CliRunner().invoke(app, [*line, "wet string"]).exception)
