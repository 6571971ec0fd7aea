"""Jobs that are submitted, heard of or not, and cancelled, by programs that stand for Slurm's own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from slurm_cluster import wait
from slurm_programs import SILENT, first_on_path, is_gone, networks, program

from reslab.errors import UserError
from reslab.grid import cluster, queue, slurm
from reslab.grid.cluster import Cluster
from reslab.grid.networks import SUBMITTED, Network, write_note
from reslab.grid.queue import Unheard
from reslab.grid.states import state
from reslab.runs.shared_gpu import MOST


@pytest.fixture
def programs(tmp_path, monkeypatch) -> Path:
    """A folder that is first on PATH."""
    return first_on_path(tmp_path, monkeypatch)


def test_sbatch_that_does_not_answer_is_ended_and_named(programs):
    """With what it has started: on some clusters it is a script, and the real sbatch would submit later."""
    pytest.importorskip("submitit")
    for name in ("srun", "squeue"):
        program(programs, name, "")
    started = program(programs, "sbatch", SILENT)
    with pytest.raises(Unheard, match=r"^sbatch: no answer within .*; none of its jobs is in the queue"):
        slurm.submit(networks(2), Cluster(engine="slurm"))
    assert is_gone(started)


@pytest.mark.parametrize("end", ["sleep 1000", "echo 'Socket timed out on send/recv operation' >&2; exit 1", "echo queued"])
def test_jobs_of_an_sbatch_that_was_not_heard_of_are_found_by_their_name(programs, end):
    pytest.importorskip("submitit")
    program(programs, "srun", "")
    names = program(programs, "sbatch", f"""sed -n 's/.*job-name=//p' "$1" >> "$0.names"; {end}""").with_name("sbatch.names")
    lines = 'while read name; do for place in 1 0; do echo "7_$place|PENDING|$(id -u)|$name|"; done; done'
    program(programs, "squeue", f"{lines} < {names}")
    ended = program(programs, "scancel", 'echo "$@" > "$0.said"')
    names.touch()
    found = networks(2)
    assert slurm.submit_missing(found, Cluster(engine="slurm")) == ["7_0", "7_1"]
    assert slurm.submit_missing(found, Cluster(engine="slurm")) == []
    assert len(names.read_text().splitlines()) == 1
    assert [state(network, queue.jobs()) for network in found] == ["waiting", "waiting"]
    assert slurm.cancel(found) == ["7_0", "7_1"]
    assert Path(f"{ended}.said").read_text() == "7_0 7_1\n" and all(network.cancelled for network in found)


def test_a_submission_is_noted_before_sbatch_is_called(programs):
    """What ends this process then, a signal or a full disk, leaves no job that nobody knows of."""
    pytest.importorskip("submitit")
    program(programs, "srun", "")
    notes = programs.parent / "checkpoints" / "abc" / "seed*" / SUBMITTED
    program(programs, "sbatch", f'cat {notes} > "$0.noted"; echo refused >&2; exit 1')
    found = networks(2)
    with pytest.raises(UserError, match="sbatch: refused"):
        slurm.submit(found, Cluster(engine="slurm"))
    assert programs.joinpath("sbatch.noted").read_text().count(found[0].ticket.name) == 2
    assert [state(network, {}) for network in found] == ["missing", "missing"]


def test_jobs_of_a_command_that_is_killed_while_it_submits_are_found_by_the_next(programs):
    """Its sbatch goes on, and Slurm takes them later."""
    pytest.importorskip("submitit")
    program(programs, "srun", "")
    script = """touch "$0.began"; sleep 0.5; sed -n 's/.*job-name=//p' "$1" > "$0.part"; mv "$0.part" "$0.name"; echo job 7"""
    sbatch = program(programs, "sbatch", script)
    name = sbatch.with_name("sbatch.name")
    line = f'echo "7_$place|RUNNING|$(id -u)|$(cat {name})|"'
    program(programs, "squeue", f"for place in 0 1; do test -e {name} && {line}; done; true")
    paths = {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = "from slurm_programs import networks; from reslab.grid import slurm; slurm.submit(networks(2), slurm.Cluster())"
    killed = subprocess.Popen([sys.executable, "-c", command], env=os.environ | paths)
    wait(sbatch.with_name("sbatch.began").exists)
    killed.kill()
    killed.wait()
    wait(name.exists)
    assert slurm.submit_missing(networks(2), Cluster(engine="slurm")) == []
    assert [state(network, queue.jobs()) for network in networks(2)] == ["running", "running"]


def test_jobs_that_cannot_be_noted_are_not_submitted(programs, monkeypatch):
    """As on a full disk."""
    pytest.importorskip("submitit")
    program(programs, "srun", "")
    asked = program(programs, "sbatch", 'touch "$0.asked"; echo job 7')

    def full(network: Network, name: str, told: dict) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Network, "tell", full)
    with pytest.raises(OSError, match="No space left"):
        slurm.submit(networks(2), Cluster(engine="slurm"))
    assert not Path(f"{asked}.asked").exists()


def test_a_job_that_comes_after_its_networks_were_submitted_again_does_nothing(tmp_path):
    file = tmp_path / "checkpoints" / "abc" / "seed0" / "work.json"
    write_note(file.with_name(SUBMITTED), {"name": "reslab-2"})
    log = tmp_path / "log.txt"
    assert slurm.Work(file, log, "reslab-1")() == 0 and not log.exists()
    with pytest.raises(SystemExit):  # no work.json
        slurm.Work(file, log, "reslab-2")()
    assert "work.json: not on this machine" in log.read_text()


def test_a_scancel_that_fails_cancels_no_network(programs):
    program(programs, "squeue", "echo '7_0|PENDING|0|reslab-1|Priority'")
    program(programs, "scancel", "echo Unable to contact >&2; exit 1")
    (one,) = networks(1)
    one.tell(SUBMITTED, {"name": "reslab-1", "user": "0", "place": "0"})
    with pytest.raises(UserError, match="scancel: Unable to contact"):
        slurm.cancel([one])
    assert not one.cancelled


def test_arrays_that_were_submitted_before_one_is_refused_go_on(programs):
    pytest.importorskip("submitit")
    for name in ("srun", "squeue"):
        program(programs, name, "")
    program(programs, "scontrol", "echo 'MaxArraySize            = 2'")
    program(
        programs, "sbatch", 'test -e "$0.once" && { echo "QOSMaxSubmitJobPerUserLimit" >&2; exit 1; }\ntouch "$0.once"; echo job 7'
    )
    found = networks(3)
    told = "QOSMaxSubmitJobPerUserLimit.*; 2 jobs were submitted before, 7_0 to 7_1, and go on; `reslab train` submits the others"
    with pytest.raises(UserError, match=told):
        slurm.submit(found, Cluster(engine="slurm"))
    assert [network.ticket.place for network in found] == ["0", "1", ""]


@pytest.mark.parametrize(
    "text",
    [
        'partition: "gpu\\ntouch x"',
        "account: a b",
        "account: $(x)",
        "hours: 1.0e308",
        "hours: .inf",
        "memory_gb: 1.0e300",
        "gpus: 9999999",
        "processes: 100000000",
        "link: telephone",
    ],
)
def test_what_no_cluster_has_or_sbatch_would_misread_is_refused(tmp_path, text):
    path = tmp_path / "cluster.yaml"
    path.write_text(f"engine: slurm\n{text}\n")
    with pytest.raises(UserError, match=rf"cluster.yaml: cluster.{text.partition(':')[0]}"):
        cluster.read(path)


def test_a_submission_of_another_that_does_not_end_is_named(programs, monkeypatch):
    monkeypatch.setattr(slurm, "SECONDS_OF_ANOTHER", 0.2)
    (programs.parent / "checkpoints").mkdir()
    with slurm.submitting(), pytest.raises(UserError, match="another `reslab train` has been submitting"), slurm.submitting():
        pass


@pytest.mark.parametrize(("at_once", "of_a_job", "array"), [(2, 3, "0-1%1"), (3, 2, "0-1%1"), (4, 2, "0-1%2"), (1, 16, "0-3%1")])
def test_the_networks_of_all_jobs_that_run_are_no_more_than_at_once(programs, at_once, of_a_job, array):
    pytest.importorskip("submitit")
    for name in ("srun", "squeue"):
        program(programs, name, "")
    program(programs, "scontrol", "echo 'MaxArraySize            = 9'")
    asked = program(programs, "sbatch", 'cp "$1" "$0.script"; echo job 7').with_name("sbatch.script")
    slurm.submit(networks(4), Cluster(engine="slurm", at_once=at_once, networks_per_job=of_a_job))
    assert f"--array={array}\n" in asked.read_text()


def test_a_job_has_no_more_networks_than_train_at_once():
    assert Cluster(networks_per_job=MOST).together == MOST
    with pytest.raises(ValueError, match="networks_per_job"):
        Cluster(networks_per_job=MOST + 1)
