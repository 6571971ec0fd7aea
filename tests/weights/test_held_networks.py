import threading
import time
from types import SimpleNamespace

from filelock import FileLock

from reslab.runs import spread
from reslab.runs.folders import LOCK, SeedFolder
from reslab.weights import trained


def test_a_second_run_waits_for_the_network_before_it_starts_processes(tmp_path, monkeypatch):
    """The others would wait in vain for the first, and give up, while another run has the network for days."""
    monkeypatch.setattr(SeedFolder, "of", classmethod(lambda cls, identity, seed: cls(tmp_path)))
    started = []
    monkeypatch.setattr(spread, "train_over", lambda train, job, count: started.append(count))
    job = SimpleNamespace(identity="", seed=0, processes=2)
    with FileLock(tmp_path / LOCK):
        second = threading.Thread(target=trained.train_in_processes, args=(job,))
        second.start()
        time.sleep(0.2)
        assert started == []
    second.join()
    assert started == [2]
    (tmp_path / "finished").mkdir()
    trained.train_in_processes(job)
    assert started == [2]
