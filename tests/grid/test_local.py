from reslab.grid.local import bundles
from reslab.runs.jobs import Job
from reslab.runs.shared_gpu import MOST


def jobs(count: int) -> list[Job]:
    return [Job(f"net{number}", {}, "identity", 0, None, {}, at_once=1) for number in range(count)]


def test_networks_are_dealt_out_to_the_gpus_as_cluster_yaml_says():
    """The longest come first: each GPU gets every second one."""
    first, second = bundles(jobs(5), 2, at_once=3)
    assert [job.experiment for job in first.jobs] == ["net0", "net2", "net4"]
    assert (first.device, first.at_once, second.device, second.at_once) == ("cuda:0", 2, "cuda:1", 1)
    assert [job.at_once for job in second.jobs] == [1, 1]  # as the records will say
    assert [bundle.at_once for bundle in bundles(jobs(3), 2, at_once=None)] == [MOST, MOST]


def test_no_more_gpus_are_used_than_networks_train_at_once():
    assert [bundle.device for bundle in bundles(jobs(5), 4, at_once=1)] == ["cuda:0"]
    assert len(bundles(jobs(2), 4, at_once=None)) == 2
