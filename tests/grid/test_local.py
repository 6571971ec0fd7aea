import pytest

from reslab.errors import UserError
from reslab.grid import local
from reslab.grid.local import bundles, groups
from reslab.grid.networks import PROGRESS, Network, alike
from reslab.grid.work import noted_if_failed
from reslab.runs.jobs import Job
from reslab.runs.shared_gpu import MOST


def jobs(count: int) -> list[Job]:
    return [Job(f"net{number}", {}, "identity", 0, None, {}, at_once=1) for number in range(count)]


def test_networks_are_dealt_out_to_the_gpus_as_cluster_yaml_says(monkeypatch):
    """The longest come first: each GPU gets every second one. The cores are for all networks that train at once."""
    monkeypatch.setattr(local, "cpu_count", lambda: 7)
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
    monkeypatch.setattr(local, "cpu_count", lambda: 32)
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
