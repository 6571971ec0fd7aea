from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from reslab.errors import UserError
from reslab.grid import local, work
from reslab.grid.cluster import Cluster
from reslab.grid.local import bundles, groups
from reslab.grid.networks import PROGRESS, Network, alike
from reslab.grid.work import Bundle, noted_if_failed, train_on
from reslab.runs import processes
from reslab.runs.jobs import Job
from reslab.runs.processes import LostProcess
from reslab.runs.shared_gpu import MOST
from reslab.stop import Stopped


def jobs(count: int) -> list[Job]:
    return [Job(f"net{number}", {}, "identity", 0, None, {}, at_once=1) for number in range(count)]


def test_networks_are_dealt_out_to_the_gpus_as_cluster_yaml_says(monkeypatch):
    """The longest come first: each GPU gets every second one. The cores are for all networks that train at once."""
    monkeypatch.setattr(work, "cpu_count", lambda: 7)
    first, second = bundles(jobs(5), ["0", "1"], at_once=3)
    assert [job.experiment for job in first.jobs] == ["net0", "net2", "net4"]
    assert (first.gpus, first.at_once, second.gpus, second.at_once) == (("cuda:0",), 2, ("cuda:1",), 1)
    assert [job.at_once for job in second.jobs] == [1, 1]  # as the records will say
    assert (first.decoders, second.decoders) == (2, 2)
    assert [bundle.at_once for bundle in bundles(jobs(3), ["0", "1"], at_once=None)] == [MOST, MOST]


def test_no_more_gpus_are_used_than_networks_train_at_once():
    four = list("0123")
    assert [bundle.gpus for bundle in bundles(jobs(5), four, at_once=1)] == [("cuda:0",)]
    assert len(bundles(jobs(2), four, at_once=None)) == 2


def test_networks_of_several_processes_use_all_gpus(monkeypatch):
    """Eight GPUs hold four networks of two processes at once."""
    monkeypatch.setattr(work, "cpu_count", lambda: 32)
    made = groups(jobs(5), list("abcdefgh"), 2, at_once=None)
    assert ["".join(bundle.gpus) for bundle in made] == ["ab", "cd", "ef", "gh"]
    assert [(len(bundle.jobs), bundle.decoders) for bundle in made] == [(2, 3), (1, 3), (1, 3), (1, 3)]
    assert [bundle.gpus for bundle in groups(jobs(5), list("abcdefgh"), 3, at_once=None)] == [("a", "b", "c"), ("d", "e", "f")]
    assert len(groups(jobs(5), list("abcdefgh"), 2, at_once=1)) == 1
    with pytest.raises(UserError, match=r"processes: 3 need as many GPUs, and 2 are visible here"):
        groups(jobs(5), ["0", "1"], 3, at_once=None)


def test_the_gpus_that_are_used_are_those_that_are_visible(monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 3)
    assert local.gpus() == ["0", "1", "2"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-a, GPU-b,GPU-c")
    assert local.gpus() == ["GPU-a", "GPU-b", "GPU-c"]
    monkeypatch.setenv("RESLAB_DEVICE", "cuda:1")
    assert local.gpus() == ["GPU-b"]


def test_networks_that_share_a_process_have_what_it_sets_in_common():
    """A second network's numerics, precision or speed would change those of the first."""
    settings = ({}, {"precision": "tf32"}, {}, {"fast": True}, {"numerics": "portable"})
    found = [Network(Job(f"net{n}", {"config": {"train": each}}, "x", 0, None, {}, 1)) for n, each in enumerate(settings)]
    names = [[network.job.experiment for network in some] for some in alike(found)]
    assert names == [["net0", "net2"], ["net1"], ["net3"], ["net4"]]


def test_a_network_that_failed_says_the_line_that_tells_why(tmp_path, monkeypatch):
    """Of a compiler's message not the first, which is about torch."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    (job,) = jobs(1)
    with pytest.raises(RuntimeError), noted_if_failed(job):
        raise RuntimeError("backend='inductor' raised:\nCppCompileError: C++ compile error\n\na.cpp:12:5: error: no member 'b'")
    assert Network(job).told(PROGRESS)["why"] == "RuntimeError: a.cpp:12:5: error: no member 'b'"
    with pytest.raises(UserError), noted_if_failed(job):
        raise UserError("data/prepared: not there")
    assert Network(job).told(PROGRESS)["why"] == "data/prepared: not there"


def test_a_network_that_waits_for_room_on_the_gpu_has_not_failed(tmp_path, monkeypatch):
    """Alone it has."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    tries: list[str] = []

    def full(job: Job, take_turn) -> None:
        tries.append(job.experiment)
        for _ in range(2):
            take_turn()
        if job.experiment == "net1":
            raise torch.OutOfMemoryError("CUDA out of memory")
        take_turn()
        told.append(Network(jobs(2)[1]).told(PROGRESS))

    told: list[dict] = []
    monkeypatch.setattr("reslab.weights.trained.train_network", full)
    monkeypatch.setenv("RESLAB_DEVICE", "cpu")
    with pytest.raises(UserError, match="out of GPU memory"):
        train_on(Bundle((), tuple(jobs(2)), 2))
    assert tries == ["net0", "net1", "net1"] and told == [{}]
    assert Network(jobs(2)[1]).told(PROGRESS)["why"].startswith("out of GPU memory; train.recompute")


def test_a_worker_that_trains_several_networks_writes_their_progress_once(monkeypatch):
    """Also beside the listener that the worker was given."""
    heard, written = [], []
    monkeypatch.setattr(processes._Channel, "send", heard.append)
    monkeypatch.setattr(processes._Channel, "also", [])
    monkeypatch.setattr("reslab.grid.networks.write_note", lambda path, told: written.append(path.name))
    monkeypatch.setattr(work, "train", lambda job: processes.Reporter(0, 1, network=job.experiment).report(1, "training"))
    for job in jobs(3):
        work.train_here(job)
    assert (len(heard), written) == (3, [PROGRESS] * 3)


def test_the_cores_of_a_job_are_for_the_networks_that_train_at_once(monkeypatch):
    monkeypatch.setattr(work, "cpu_count", lambda: 1 + 2 * MOST)
    made = work.alone_on_node(tuple(jobs(MOST + 5)))
    assert (made.at_once, made.decoders) == (MOST, 2)


@pytest.mark.parametrize(("error", "reached"), [(UserError("net0 fails"), 2), (LostProcess("killed"), 1), (Stopped("SIGTERM"), 1)])
def test_a_failed_network_leaves_those_of_other_numerics_alone(tmp_path, monkeypatch, error, reached):
    """Unless all are to end."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setattr(local, "has_gpu", lambda: False)
    kinds = [Network(replace(job, description={"config": {"train": {"fast": n > 0}}})) for n, job in enumerate(jobs(2))]
    trained: list[str] = []

    def run(some: list[Job], *_) -> Iterator[Job]:
        trained.extend(job.experiment for job in some)
        if len(trained) == 1:
            raise error
        yield from some

    monkeypatch.setattr(local, "train_on_cores", run)
    with pytest.raises(type(error)):
        local.train(kinds, Cluster(), print)
    assert len(trained) == reached
