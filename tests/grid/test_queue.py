"""What Slurm says of its jobs, or does not say, by programs that stand for its own."""

import os
import signal
import time
from pathlib import Path

import pytest
from slurm_programs import SILENT, first_on_path, is_gone, networks, program

from reslab.cli.train import show
from reslab.errors import UserError
from reslab.grid import queue, slurm, watch, work
from reslab.grid.networks import LOG, PROGRESS, SUBMITTED, Network, write_note
from reslab.grid.queue import Queued, Ticket, Unanswered, Unheard
from reslab.grid.states import state, summary
from reslab.grid.watch import Again


@pytest.fixture
def programs(tmp_path, monkeypatch) -> Path:
    """A folder that is first on PATH."""
    return first_on_path(tmp_path, monkeypatch)


@pytest.mark.parametrize("name", ["squeue", "scancel"])
def test_a_command_of_slurm_that_does_not_answer_is_ended_and_named(programs, name):
    program(programs, "squeue", "echo '7_0|PENDING|0|reslab-1|Priority'")
    started = program(programs, name, SILENT)
    (one,) = networks(1)
    one.tell(SUBMITTED, {"name": "reslab-1", "user": "0", "place": "0"})
    with pytest.raises(UserError, match=rf"^{name}: no answer within 0.5 s; are Slurm's controller and munge running"):
        slurm.cancel([one])
    assert is_gone(started)


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


def test_only_what_can_be_asked_again_is(programs, monkeypatch):
    monkeypatch.setattr(watch, "SECONDS_BETWEEN_LOOKS", 0.05)
    answers = [Unanswered("squeue: no"), UserError("sbatch: Invalid account"), "not reached"]

    def ask() -> str:
        if isinstance(answer := answers.pop(0), str):
            return answer
        raise answer

    with pytest.raises(UserError, match=r"^sbatch: Invalid account; the cluster's jobs go on"):
        watch.patiently(ask)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match=r"^engine slurm: there is no squeue here.*; the cluster's jobs go on"):
        watch.wait_for(networks(1), lambda early: [])


def test_an_sbatch_that_is_not_heard_of_is_not_called_blindly_again(programs, monkeypatch, capsys):
    """But after the next look at the queue, and not for ever."""
    monkeypatch.setattr(watch, "SECONDS_BETWEEN_LOOKS", 0.05)
    program(programs, "squeue", 'echo x >> "$0.asked"')
    looks: list[int] = []

    def submit(early: list[Network]) -> list[str]:
        looks.append(len((programs / "squeue.asked").read_text().splitlines()))
        raise Unheard("sbatch: no answer")

    with pytest.raises(UserError, match="not all networks are finished"):
        watch.wait_for(networks(1), submit)
    assert looks == [1, 2] and capsys.readouterr().err.count("sbatch: no answer") == 2


def test_a_job_that_went_in_a_long_silence_of_slurm_counts_as_stopped(programs):
    """It may have begun, ended and been forgotten: nobody knows that a person has cancelled it."""
    for memory, due in ((1000.0, 0), (0.0, 1)):
        (one,) = networks(1)
        ticket = Ticket("one", "0", "0")
        one.tell(SUBMITTED, ticket._asdict())
        again = Again(memory)
        again.note([one], {ticket: Queued("PENDING")})
        again.note([one], {})
        assert len(again.due([one], {})) == due
    assert queue.memory() == 300
    program(programs, "scontrol", "echo 'MinJobAge               = 20 sec'")
    assert queue.memory() == 20


def test_a_network_that_ends_early_is_submitted_again_while_it_gets_further(programs):
    failing, stopped, *cancelled = found = networks(4)
    tickets = [Ticket("one", "0", str(number)) for number in range(2)]
    failing.tell(PROGRESS, {"doing": "failed", "fraction": 0.5})
    for network, ticket in zip(cancelled, tickets, strict=True):
        network.tell(SUBMITTED, ticket._asdict())
    again = Again(memory=300)
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
        network.tell(SUBMITTED, {"name": "one", "user": "0", "place": str(seed)})
    known = queue.jobs()
    assert len(known) == 5  # one has ended
    assert known[Ticket("one", "0", "3")] == Queued("RUNNING", number="7_3")
    assert known[Ticket("one", "0", "4")].reason.endswith("UnavailableNodes:a|b")
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
    assert state(one, {Ticket("one", "0", "0"): Queued("RUNNING")}) == "missing"
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


def test_what_a_job_refuses_is_no_damage(tmp_path):
    job = {"experiment": "plain", "description": {"config": {"train": {"batch_size": 2}}}, "identity": "abc", "seed": 0}
    write_note(tmp_path / "work.json", {"jobs": [job | {"data": "x", "code": {}, "at_once": 1, "processes": 3}]})
    with pytest.raises(UserError, match=r"^plain: 3 processes are too many for batches of 2 images; give fewer$"):
        work.main(tmp_path / "work.json")
