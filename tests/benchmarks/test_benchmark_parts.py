"""The parts of benchmarks/engine.py around its rounds: what is sampled, time limits, networks at once, time to an accuracy."""

import os
import subprocess
import time
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from contest import mps, packing, race, report, tables
from contest.guard import in_a_process
from contest.plan import Case
from contest.processes import TooLong
from contest.repeat import weights_after_an_epoch
from contest.rounds import contest
from contest.watch import FIELDS, Watch
from contest.workspace import enlarged
from loops.job import Job
from loops.peer import Peer, Script
from reslab.data import prepared
from reslab.data.datasets import DATASETS
from reslab.errors import UserError


def program(folder, name, text):
    """A program that stands for one of NVIDIA's, the first of its name on the path."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def first_on_path(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return tmp_path


def watched(until) -> dict:
    """What a GPU's watch says after `until(watch)` holds."""
    with Watch("cuda") as watch:
        while not until(watch):
            time.sleep(0.01)
    return watch.summary()


def test_clocks_and_power_are_sampled_and_what_a_device_does_not_tell_is_left_out(first_on_path):
    lines = ["1980, 2619, 350.12, 45, 99", "1200, 2619, 690.5, 60, 100", "1755, [N/A], 400, [Unknown Error], 98", "what?"]
    program(first_on_path, "nvidia-smi", "".join(f"echo '{line}'\n" for line in lines) + "exec sleep 60")
    found = watched(lambda watch: len(watch.samples) == 3)
    assert found["samples"] == 3
    assert found["sm_mhz"] == [1200, 1755, 1980]
    assert found["watts"] == [350.12, 400, 690.5]
    assert found["celsius"] == [45, 52.5, 60]
    assert "SM clock, MHz 1,200 to 1,980 (median 1,755)" in tables.watched({"case": found})


@pytest.mark.parametrize(
    ("text", "why"), [("echo 'No devices were found'; exit 6", "No devices were found"), ("exec sleep 60", "")]
)
def test_a_watch_that_sees_nothing_ends_nothing(first_on_path, text, why):
    program(first_on_path, "nvidia-smi", text)
    found = watched(lambda watch: why in watch.why)
    assert found["samples"] == 0
    assert why in found["why"]
    assert "nothing is known" in tables.watched({"case": found})


def test_a_watch_without_nvidia_smi_says_so_and_a_cpu_tells_its_load(monkeypatch, tmp_path):
    with Watch("cpu", interval=0.01) as watch:
        while not watch.samples:
            time.sleep(0.01)
    assert watch.summary()["load"][0] >= 0
    monkeypatch.setenv("PATH", str(tmp_path))
    assert watched(lambda watch: True) == {"samples": 0, "why": "no nvidia-smi"}
    assert len(FIELDS) == 5


def test_mps_is_started_and_ended_or_it_is_said_why_not(first_on_path, monkeypatch):
    log = first_on_path / "log"
    program(first_on_path, mps.PROGRAM, f'echo "$1 $CUDA_MPS_PIPE_DIRECTORY" >> {log}; [ "$1" ] || cat >> {log}')
    with mps.server(first_on_path / "mps") as variables:
        assert Path(variables["CUDA_MPS_PIPE_DIRECTORY"]).is_dir()
    pipes = variables["CUDA_MPS_PIPE_DIRECTORY"]
    assert log.read_text() == f"-d {pipes}\n {pipes}\nquit\n"
    program(first_on_path, mps.PROGRAM, "exit 1")
    with pytest.raises(mps.NoServer, match="ended with 1"), mps.server(first_on_path / "mps"):
        pass
    monkeypatch.setenv("PATH", str(first_on_path / "none"))
    with pytest.raises(mps.NoServer, match="no nvidia-cuda-mps-control here"), mps.server(first_on_path / "mps"):
        pass


def segments(*rates):
    """Segments of a second each with so many images."""
    return [{"images": rate, "seconds": 1.0, "waited": 0.0, "cpu_seconds": 2.0, "peak_bytes": 1} for rate in rates]


def test_networks_at_once_are_compared_with_one_after_the_other():
    measured = {"tuned, in turn": segments(*[100] * 6), "ours x 8": segments(*[450] * 6)}
    found = packing.rows(measured, {"ours x 8": 8, "tuned, in turn": 1}, "tuned, in turn")
    assert found["ours x 8"]["over_reference_wall"] == {"ratio": 4.5, "low": 4.5, "high": 4.5}
    assert found["ours x 8"]["networks"] == 8
    part = {"images": 10, "data": "digits", "summary": found, "failed": {"processes under MPS": "no service"}}
    assert "| ours x 8" in tables.packing("packed", part)
    assert "processes under MPS: no service" in tables.packing("packed", part)


def run(seconds, *errors):
    """What a race keeps of one training."""
    return [{"seconds": seconds * number, "cpu_seconds": number, "error": error} for number, error in enumerate(errors, 1)]


def test_the_mark_is_the_error_that_the_tuned_loop_reaches_with_every_seed():
    runs = {
        "ours": [run(1.0, 0.5, 0.09), run(1.0, 0.5, 0.1)],
        "tuned": [run(3.0, 0.5, 0.08), run(4.0, 0.08, 0.1)],
        "fast and wrong": [run(0.1, 0.5, 0.3), run(0.1, 0.2, 0.09)],
    }
    found = race.judge(runs, "seconds")
    assert {row["mark"] for row in found.values()} == {0.1}
    assert [row["reached"] for row in found.values()] == ["2 of 2", "2 of 2", "1 of 2"]
    assert (found["tuned"]["seconds"], found["ours"]["seconds"]) == (5.0, 2.0)
    assert found["tuned"]["times_ours"]["ratio"] == 2.5  # 6 / 2 and 4 / 2, paired by seed
    assert race.judge({"ours": runs["ours"]}, "seconds") == {}
    text = tables.race("race", {"images": 5, "data": "digits", "summary": found, "failed": {}})
    assert "to an error of 10.00%" in text
    assert "| fast and wrong | 1 of 2" in text


@pytest.fixture
def job(tmp_path, small_images):
    """Four classes of random 3x8x8 images; ResNet-8."""
    prepared.save(small_images, tmp_path / "data", name="small", validation=0)
    change = {"model": {"depth": 8}, "augment": [{"name": "flip"}], "train": {"batch_size": 16}}
    return Job(Case("small", change, 40, 12).sections, tmp_path / "data", "cpu", workers=0, level="eager")


def test_a_race_keeps_the_time_without_scoring_and_the_error_of_each_epoch(job):
    rows = race.raced("ours", job, 2)
    assert len(rows) == 2
    assert 0 < rows[0]["seconds"] < rows[1]["seconds"]
    assert all(0 <= row["error"] <= 1 for row in rows)


@pytest.mark.parametrize("loop", ["ours", "speedrun"])
def test_whether_a_loop_repeats_is_told_by_its_weights(job, loop):
    first, again = (weights_after_an_epoch(loop, job) for _ in range(2))
    assert first == again
    assert weights_after_an_epoch(loop, Job(**vars(job) | {"seeds": (1,)})) != first


def test_what_takes_too_long_is_ended_and_said():
    with pytest.raises(TooLong, match="the time of this part was over"):
        in_a_process(time.sleep, 600, until=time.monotonic() + 0.5)


def test_a_peer_that_hangs_is_ended(tmp_path):
    (tmp_path / "train.py").write_text("import time\ntime.sleep(600)\n")
    with pytest.raises(TooLong):
        Peer(Script(tmp_path / "train.py", "", "epoch", 10), until=time.monotonic() + 0.5).segment(1)


STAYS = """\
import os, sys, time
os.mkdir(os.path.join(sys.argv[1], "out"))
for epoch in range(9):
    print("a test")
    print("begin", end="\\r")
    print("end")
time.sleep(600)
"""


def test_a_peer_is_timed_from_its_begin_and_ended_when_it_has_trained_enough(tmp_path, monkeypatch):
    monkeypatch.setattr("time.perf_counter", count().__next__)  # a second for each line
    (tmp_path / "train.py").write_text(STAYS)
    script = Script(tmp_path / "train.py", "{folder}", "^end", 10, begin="^begin", epochs=4)
    for _ in range(2):  # a new folder each time
        found = Peer(script).segment(1)
        assert (found.epochs, found.images, found.seconds) == (3, 30, 3)
    assert Peer(replace(script, begin="")).segment(1).seconds == 9
    with pytest.raises(UserError, match="--peer-python none: no such program"):
        Script(tmp_path / "train.py", "", "", 10, python="none").check()


class Slow:
    """An entrant that takes its time."""

    name = "slow"

    def start(self):
        return {"build_seconds": 0.0, "first_epoch_seconds": None}

    def segment(self, epochs):
        raise AssertionError("there is no time for it")

    def close(self):
        pass


def test_no_round_begins_when_the_time_is_over():
    found = contest([Slow()], rounds=9, seconds=1.0, say=lambda text: None, until=time.monotonic())
    assert found["slow"]["failed"] == "no round was reached in the time of this part"


def test_digits_in_the_shape_of_cifar_keep_their_labels_and_pixels(tmp_path):
    source = DATASETS["digits"](tmp_path)
    source.fetch()
    digits = source.read()
    large = enlarged(digits, 2000, 400)
    assert large.train.images.shape == (2000, 3, 32, 32)
    assert np.array_equal(large.train.images[1437:1500, 1, ::4, 3::4], digits.train.images[:63, 0])
    assert np.array_equal(large.test.labels[360:], digits.test.labels[:40])


def test_older_results_are_shown_as_not_checked(repository):
    found = report.load(repository / "benchmarks/results/cpu")
    shown = report.markdown(found, list(report.loop_rows(found)))
    assert "not checked" in shown
    assert "## Clocks and power" not in shown


def test_a_watch_leaves_no_process(first_on_path):
    program(first_on_path, "nvidia-smi", "exec sleep 600.25")
    watched(lambda watch: watch.process is not None)
    assert "sleep 600.25" not in subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
