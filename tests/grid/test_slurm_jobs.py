"""Jobs of a real Slurm, none of which gets as far as training: their setup takes its time."""

import itertools
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import slurm_cluster
from slurm_programs import networks, program

from reslab.errors import UserError
from reslab.grid import queue, slurm, watch
from reslab.grid.cluster import Cluster
from reslab.grid.networks import LOG, SUBMITTED
from reslab.grid.slurm import Work
from reslab.grid.states import state

LARGEST_ARRAY = 3
TAKES_LONG = Cluster(engine="slurm", setup=["sleep 600"])


@pytest.fixture(scope="module")
def a_cluster(tmp_path_factory):
    slurm_cluster.skip_without()
    pytest.importorskip("submitit")
    folder = tmp_path_factory.mktemp("slurm")
    yield slurm_cluster.start(folder, f"MaxArraySize={LARGEST_ARRAY}\n")
    slurm_cluster.stop(folder)


@pytest.fixture
def here(a_cluster, tmp_path, monkeypatch) -> Path:
    """A project's folder and its cluster, which nothing is left on afterwards."""
    monkeypatch.setenv("SLURM_CONF", a_cluster["SLURM_CONF"])
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    yield tmp_path
    subprocess.run(["scancel", "--user=root"], check=True)
    slurm_cluster.wait(lambda: not queue.jobs())


def sbatch(*arguments: str) -> str:
    """Submit a job of somebody else; returns its number."""
    command = ["sbatch", "--parsable", "--output=/dev/null", *arguments, "--wrap", "sleep 600"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_a_job_of_somebody_else_with_the_same_number_is_left_alone(here):
    """As on a cluster whose numbers have started again, or on another cluster with the same file system."""
    mine, other = networks(2)
    (submitted,) = slurm.submit([mine], TAKES_LONG)
    number = sbatch("--job-name=reslab")
    other.tell(SUBMITTED, mine.told(SUBMITTED) | {"name": "reslab-before"})
    found = queue.jobs()
    assert [state(network, found) for network in (mine, other)] in (["waiting", "missing"], ["running", "missing"])
    assert slurm.cancel([mine, other]) == [submitted]
    slurm_cluster.wait(lambda: mine.ticket not in queue.jobs())
    assert [job.number for job in queue.jobs().values()] == [number]


@pytest.mark.parametrize("count", [1, 2], ids=["alone", "an array"])
def test_jobs_whose_sbatch_answers_late_do_their_work_all_the_same(here, monkeypatch, count):
    """Slurm has taken them; submitit never learns their numbers, by which it would have left them their work."""
    (here / "bin").mkdir()
    program(here / "bin", "sbatch", f'{shutil.which("sbatch")} "$@" > /dev/null; sleep 1000')
    monkeypatch.setenv("PATH", f"{here}/bin:{os.environ['PATH']}")
    monkeypatch.setattr(queue, "SECONDS_TO_SUBMIT", 3)
    found = networks(count)
    numbers = slurm.submit_missing(found, Cluster(engine="slurm"))
    assert len(numbers) == count and slurm.submit_missing(found, Cluster(engine="slurm")) == []
    slurm_cluster.wait(lambda: all((network.folder.path / LOG).exists() for network in found))  # which their work writes


def test_more_networks_than_an_array_may_have_keep_to_at_once_together(here):
    """Two arrays of one call, and another call's."""
    told = here / "told"
    lines = [f"echo 1 >> {told}", "sleep 0.2", f"echo -1 >> {told}", "exit 0"]
    found, asked = networks(5), Cluster(engine="slurm", at_once=1, setup=lines)
    numbers = slurm.submit(found[:4], asked) + slurm.submit(found[4:], asked)
    assert len({number.partition("_")[0] for number in numbers}) == 3
    slurm_cluster.wait(lambda: not queue.jobs())
    running = list(itertools.accumulate(map(int, told.read_text().split())))
    assert len(running) == 10 and max(running) == 1  # the node has room for two


def test_several_networks_have_one_job(here):
    asked = TAKES_LONG.model_copy(update={"networks_per_job": 2, "at_once": 2})
    found = networks(3)
    first, second = slurm.submit(found, asked)
    jobs = queue.jobs()
    assert [jobs[network.ticket].number for network in found] == [first, first, second]
    slurm_cluster.wait(lambda: [state(network, queue.jobs()) for network in found] == ["running", "running", "waiting"])
    assert slurm.cancel(found) == [first, second]
    slurm_cluster.wait(lambda: not queue.jobs())


def test_what_ends_early_is_submitted_again_unless_it_was_cancelled(here, monkeypatch, capsys):
    """A job that ends before its network begins, and others that two users have ended."""
    monkeypatch.setattr(watch, "SECONDS_BETWEEN_LOOKS", 0.2)
    failing, cancelled, ended = networks(3)
    begun = here / "begun"
    asked = Cluster(engine="slurm", setup=[f"echo >> {begun}", "exit 1"])
    for network in (cancelled, ended):
        slurm.submit([network], TAKES_LONG)
    slurm.cancel([cancelled])
    queue.ask("scancel", queue.jobs()[ended.ticket].number)
    slurm.submit([failing], asked)
    with pytest.raises(UserError, match="not all networks are finished"):
        watch.wait_for([failing, cancelled, ended], lambda early: slurm.submit_missing(early, asked))
    assert len(begun.read_text().splitlines()) == 3
    assert capsys.readouterr().err.count("ended early: 1 missing; submitted again as ") == 2


def test_a_job_that_is_told_to_stop_ends_as_soon_as_its_network_has(tmp_path, monkeypatch):
    """The signal interrupts the thread that waits for the network, in which the network is then waited for."""
    pytest.importorskip("submitit")
    network = tmp_path / "network"
    program(tmp_path, network.name, 'trap "exit 3" TERM; touch "$0.listens"\nwhile :; do sleep 0.1; done')
    monkeypatch.setattr(sys, "executable", str(network))
    work, took = Work(tmp_path / "checkpoints" / "a" / "seed0" / "work.json", tmp_path / "log.txt", "reslab-1"), []
    work.file.parent.mkdir(parents=True)

    def told(*_) -> None:
        began = time.monotonic()
        work.checkpoint()
        took.append(time.monotonic() - began)

    def tell_once_it_listens() -> None:
        slurm_cluster.wait((tmp_path / "network.listens").exists)
        os.kill(os.getpid(), signal.SIGUSR2)

    before = signal.signal(signal.SIGUSR2, told)
    try:
        threading.Thread(target=tell_once_it_listens, daemon=True).start()
        with pytest.raises(SystemExit) as ended:
            work()
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert ended.value.code == 3 and took[0] < 10
