"""What Slurm says of its jobs, or does not say, by programs that stand for its own."""

import os
import signal
import time
from pathlib import Path

import pytest
from orphans import is_running

from reslab.cli.train import show
from reslab.errors import UserError
from reslab.grid import cluster, queue, slurm, watch, work
from reslab.grid.cluster import Cluster
from reslab.grid.networks import LOG, PROGRESS, SUBMITTED, Network
from reslab.grid.queue import Queued, Ticket
from reslab.grid.states import state, summary
from reslab.grid.watch import Again
from reslab.runs.jobs import Job

SILENT = 'sleep 1000 &\necho $$ $! > "$0.pids"\nwait'


@pytest.fixture
def programs(tmp_path, monkeypatch) -> Path:
    """A folder that is first on PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    program(folder, "scontrol", "echo 'MaxArraySize            = 2'")
    monkeypatch.setattr(queue, "SECONDS", 0.5)
    monkeypatch.setattr(queue, "SECONDS_TO_SUBMIT", 0.5)
    return folder


def program(folder: Path, name: str, script: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def is_gone(started: Path) -> bool:
    """Whether neither the program nor what it had started is left, a moment after both were killed."""
    numbers = [int(number) for number in Path(f"{started}.pids").read_text().split()]
    until = time.monotonic() + 5
    while any(map(is_running, numbers)) and time.monotonic() < until:  # a killed process takes the kernel a moment
        time.sleep(0.01)
    return not any(map(is_running, numbers))


def networks(count: int) -> list[Network]:
    return [Network(Job("plain", {}, "abc", seed, Path(), {}, 1)) for seed in range(count)]


@pytest.mark.parametrize("name", ["squeue", "scancel"])
def test_a_command_of_slurm_that_does_not_answer_is_ended_and_named(programs, name):
    program(programs, "squeue", "echo '7_0|PENDING|0|reslab-1|Priority'")
    started = program(programs, name, SILENT)
    (one,) = networks(1)
    one.tell(SUBMITTED, {"job": "7_0", "name": "reslab-1", "user": "0"})
    with pytest.raises(UserError, match=rf"^{name}: no answer within 0.5 s; are Slurm's controller and munge running"):
        slurm.cancel([one])
    assert is_gone(started)


def test_sbatch_that_does_not_answer_is_ended_and_named(programs):
    """With what it has started: on some clusters it is a script, and the real sbatch would submit later."""
    pytest.importorskip("submitit")
    program(programs, "srun", "")
    started = program(programs, "sbatch", SILENT)
    with pytest.raises(UserError, match=r"^sbatch: no answer within .* it may have submitted jobs all the same"):
        slurm.submit(networks(2), Cluster(engine="slurm"))
    assert is_gone(started)
    assert not list(programs.parent.glob("checkpoints/*/seed*/submitted.json"))


def test_a_timer_that_runs_goes_on_after_a_limit():
    """Of whoever calls: an alarm that is far away, and one that was due meanwhile."""
    heard = []
    before = signal.signal(signal.SIGALRM, lambda *_: heard.append("alarm"))
    try:
        signal.setitimer(signal.ITIMER_REAL, 1000, 500)
        with queue.limited("sbatch", 2000):
            pass
        left, interval = signal.setitimer(signal.ITIMER_REAL, 0.01)
        assert 500 < left <= 1000 and interval == 500
        with queue.limited("sbatch", 2000):
            time.sleep(0.05)
        time.sleep(0.1)
        assert heard == ["alarm"]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_jobs_that_cannot_be_noted_are_ended(programs, monkeypatch):
    """As on a full disk: nobody would know of them, and they would be submitted a second time."""
    pytest.importorskip("submitit")
    program(programs, "srun", "")
    program(programs, "sbatch", "echo Submitted batch job 7")
    ended = program(programs, "scancel", 'echo "$@" > "$0.said"')

    def full(network: Network, name: str, told: dict) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Network, "tell", full)
    with pytest.raises(OSError, match="No space left"):
        slurm.submit(networks(2), Cluster(engine="slurm"))
    assert Path(f"{ended}.said").read_text() == "7_0 7_1\n"
    program(programs, "scancel", "echo Unable to contact >&2; exit 1")
    both = r"(?i)no space left.*; jobs 7_0 to 7_1 run unnoted: `scancel 7` ends them, which failed here .scancel: unable to contact"
    with pytest.raises(UserError, match=both):
        slurm.submit(networks(2), Cluster(engine="slurm"))


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
    assert [network.ticket.number for network in found] == ["7_0", "7_1", ""]


def test_a_queue_that_fails_for_a_while_is_asked_again(programs, monkeypatch, capsys):
    monkeypatch.setattr(watch, "SECONDS_BETWEEN_LOOKS", 0.05)
    (one,) = networks(1)
    one.folder.finished.mkdir(parents=True)
    failing = program(programs, "squeue", 'echo x >> "$0.asked"; test $(wc -l < "$0.asked") -gt 3 || { echo no >&2; exit 1; }')
    watch.wait_for([one], lambda early: [])
    assert capsys.readouterr().err == "squeue: no; asking again for 10 minutes\n1 done; Ctrl-C leaves the jobs running\n"
    Path(f"{failing}.asked").write_text("")
    monkeypatch.setattr(watch, "PATIENCE", 0.0)
    with pytest.raises(UserError, match=r"^squeue: no; the cluster's jobs go on; `reslab train --status` shows them"):
        watch.wait_for([one], lambda early: [])


def test_a_network_that_ends_early_is_submitted_again_while_it_gets_further(programs):
    failing, stopped, *cancelled = found = networks(4)
    tickets = [Ticket(f"7_{number}", "one", "0") for number in range(2)]
    failing.tell(PROGRESS, {"doing": "failed", "fraction": 0.5})
    for network, ticket in zip(cancelled, tickets, strict=True):
        network.tell(SUBMITTED, {"job": ticket.number, "name": "one", "user": "0"})
    again = Again()
    again.note(found, {tickets[0]: Queued("CANCELLED"), tickets[1]: Queued("PENDING")})
    again.note(found, {})  # Slurm has forgotten the first, and by now the second was cancelled before it began
    due = []
    for fraction in (0.0, 0.1, 0.2, 0.3, 0.3, 0.3):
        stopped.tell(PROGRESS, {"doing": "training", "fraction": fraction})
        due.append([network.job.seed for network in again.due(found, {})])
    assert due == [[0, 1], [0, 1], [1], [1], [1], []]


def test_why_a_job_waits_is_told(programs, capsys, monkeypatch):
    monkeypatch.setenv("SQUEUE_USERS", "me")  # would hide the jobs of others
    lines = ("PENDING|0|one|JobHeldUser", "PENDING|0|one|QOSMaxWallDurationPerJobLimit", "PENDING|0|one|Priority")
    lines += ("RUNNING|0|one|None", "PENDING|0|one|ReqNodeNotAvail, UnavailableNodes:a|b", "FAILED|0|one|NonZeroExitCode")
    lines = ["CLUSTER: one", *(f"7_{number}|{line}" for number, line in enumerate(lines))]
    program(programs, "squeue", f"test -z \"$SQUEUE_USERS\" && printf '%s\\n' {' '.join(map(repr, lines))}")
    found = networks(5)
    for seed, network in enumerate(found):
        network.tell(SUBMITTED, {"job": f"7_{seed}", "name": "one", "user": "0"})
    known = queue.jobs()
    assert len(known) == 5  # one has ended
    assert known[Ticket("7_3", "one", "0")] == Queued("RUNNING")
    assert known[Ticket("7_4", "one", "0")].reason.endswith("UnavailableNodes:a|b")
    assert summary(found, known) == (
        "1 running, 1 waiting, 1 waiting (JobHeldUser: `scontrol release JOB` lets it start), 1 waiting"
        " (QOSMaxWallDurationPerJobLimit: Slurm will not start it; `reslab train --cancel`, then ask for less in cluster.yaml),"
        " 1 waiting (ReqNodeNotAvail, UnavailableNodes:a|b)"
    )
    assert Queued("PENDING", "Dependency").told == ""  # on the project's earlier jobs
    assert Queued("PENDING", "JobHeldAdmin").told == "JobHeldAdmin: an administrator holds it; ask them"
    show(found, known)
    assert "JobHeldUser" in capsys.readouterr().out.splitlines()[2]


def test_a_queue_that_fails_is_one_line(programs):
    program(programs, "squeue", "printf 'slurm_load_jobs error:\\n  Unable to contact\\n' >&2; exit 1")
    with pytest.raises(UserError, match=r"^squeue: slurm_load_jobs error: Unable to contact$"):
        queue.jobs()


@pytest.mark.parametrize("content", [b"", b"\xff\x00", b"[]", b"7", b'{"job": {}}', b"[" * 100_000, b'{"epoch": 3}'])
def test_damaged_notes_of_a_network_are_no_notes(programs, content, capsys):
    (one,) = networks(1)
    for name in (SUBMITTED, PROGRESS):
        one.tell(name, {})
        (one.folder.path / name).write_bytes(content)
    assert state(one, {Ticket("7_0", "one", "0"): Queued("RUNNING")}) == "missing"
    show([one], {})
    assert "1 missing" in capsys.readouterr().out


def test_a_pipe_in_place_of_a_note_is_not_waited_for(programs, capsys):
    (one,) = networks(1)
    one.folder.path.mkdir(parents=True)
    for name in (SUBMITTED, PROGRESS, LOG):
        os.mkfifo(one.folder.path / name)
    show([one], {})
    assert "1 missing" in capsys.readouterr().out
    with pytest.raises(UserError, match=r"submitted\.json: is a pipe, a socket or a device"):
        one.tell(SUBMITTED, {})
    os.mkfifo(one.folder.path / "started")
    with pytest.raises(UserError, match="started: is a pipe, a socket or a device"):
        one.folder.first_start()


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"data": 3}', b'{"data": "x", "system": "y"}'])
def test_damaged_work_of_a_job_is_said(tmp_path, content):
    path = tmp_path / "work.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"work.json: damaged .*; `reslab train` writes it anew"):
        work.main(path)


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
