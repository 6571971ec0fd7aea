"""Live tracking where something is odd: other histories, losses that are not finite, slow servers; and what it does not load."""

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import requests
import torch
from mlflow.entities import Metric
from test_live import BEGAN, EPOCHS, LIVE, ended, finished, history, root, row, runs, wait_until

from reslab import stop
from reslab.runs import records
from reslab.runs.reports import Began, EpochEnded, Report
from reslab.tracking import BackgroundLog, Store, TrainedNetwork, patience
from reslab.tracking.system import Sampler
from reslab.training.execution import hardware

__all__ = ["root"]  # the fixture


def test_a_run_with_another_history_than_its_record_is_replaced(root, tmp_path):
    """It went on on another device, whose numbers differ in the last digits."""
    with BackgroundLog(root, "other") as log:
        log.update(Began("resnet20", LIVE, []))
        for epoch in (1, 2):
            log.update(ended(0, epoch))
        log.log(finished(tmp_path / "s0", loss=1.0000001))
    run = runs(root, "other")["resnet20-s0"]
    assert history(root, run) == [(epoch, 1.0000001 / epoch) for epoch in range(1, EPOCHS + 1)]


@pytest.mark.parametrize("loss", [float("nan"), float("inf"), float("-inf")])
def test_a_loss_that_is_not_finite_is_logged_once(root, tmp_path, loss):
    study = f"diverged{loss}"
    for _ in range(2):  # trained again after a kill, as there was no checkpoint yet
        with BackgroundLog(root, study) as log:
            told = EpochEnded(row(1, loss), 143.7, 10.0, BEGAN + 10.0)
            log.update(Began("resnet20", LIVE, []))
            log.update(Report(0, 1, EPOCHS, 1, EPOCHS, "training", told.row, 143.7, told))
    left, folder = runs(root, study)["resnet20-s0"], tmp_path / "s0"
    folder.mkdir()
    records.write_record(folder / "record.json", LIVE | {"status": "diverged"})
    records.write_history(folder / "history.csv", [row(1, loss)])
    Store(root, study).log(TrainedNetwork.read("resnet20", folder))
    run = runs(root, study)["resnet20-s0"]
    assert (run.info.run_id, run.info.status, len(history(root, run))) == (left.info.run_id, "FAILED", 1)


def test_the_machine_is_sampled_once_for_all_networks(root, monkeypatch):
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.1")
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLES_BEFORE_LOGGING", "1")
    with BackgroundLog(root, "sampled") as log:
        for seed in (0, 1):
            log.update(Began("resnet20", LIVE | {"seed": seed}, []))
        wait_until(lambda: "resnet20-s1" in runs(root, "sampled") and sampled(root))
        assert [thread.name for thread in threading.enumerate()].count("SystemMetricsMonitor") == 1
    assert "SystemMetricsMonitor" not in [thread.name for thread in threading.enumerate()]
    found = runs(root, "sampled")
    assert "system/system_memory_usage_percentage" in found["resnet20"].data.metrics
    assert not any(key.startswith("system/") for key in found["resnet20-s0"].data.metrics)


def test_how_a_network_ended_is_logged_before_all_that_can_wait(root, monkeypatch):
    """A stage that was told to stop may have no time for its last epochs and the sampler."""

    def no_time(*_: object) -> None:
        raise TimeoutError

    with pytest.raises(stop.Stopped), BackgroundLog(root, "hurried") as log:
        log.update(Began("resnet20", LIVE, []))
        wait_until(lambda: "resnet20-s0" in runs(root, "hurried"))
        monkeypatch.setattr(Sampler, "finish", no_time)
        raise stop.Stopped("SIGTERM")
    assert runs(root, "hurried")["resnet20-s0"].info.status == "KILLED"


def sampled(root: Path) -> bool:
    return "system/cpu_utilization_percentage" in runs(root, "sampled")["resnet20"].data.metrics


def test_a_number_that_was_changed_is_shown_also_after_the_clock_went_back(root):
    """MLflow shows the one with the latest time."""
    store, ahead = Store(root, "clock"), 4 * 10**12
    run_id = store.runs.start("resnet20-s0", {}).info.run_id
    store.client.log_batch(run_id, metrics=[Metric("final/test_error", 0.5, ahead, 0)])
    for error in (0.25, 0.25, 0.125):
        store.runs.update_metrics(store.client.get_run(run_id), {"final/test_error": error})
        assert store.client.get_run(run_id).data.metrics == {"final/test_error": error}
    assert len(store.client.get_metric_history(run_id, "final/test_error")) == 3


def talking(seconds: float, calls: int) -> threading.Thread:
    """A thread that makes calls, each of which is answered after some seconds."""
    client = patience.Watched(time)
    thread = threading.Thread(target=lambda: [client.sleep(seconds) for _ in range(calls)])
    thread.start()
    return thread


@pytest.mark.parametrize(("in_all", "slow"), [(True, 1.0), (False, 0.05)], ids=["at a stage's end", "a second an answer"])
def test_a_server_that_is_slow_is_left_alone_after_a_while(monkeypatch, in_all, slow):
    monkeypatch.setattr(patience, "SECONDS", 0.3)
    monkeypatch.setattr(patience, "SLOW", slow)
    thread = talking(0.1, 20)
    with pytest.raises(TimeoutError, match="too slow"):
        patience.wait_for(thread, in_all=in_all)
    thread.join()


def test_a_server_that_answers_is_asked_as_often_as_a_command_needs(monkeypatch):
    monkeypatch.setattr(patience, "SECONDS", 0.2)
    patience.wait_for(talking(0.02, 40))


def test_a_server_that_has_left_a_request_without_an_answer_is_asked_no_more():
    """MLflow's own functions tidy up with further requests."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(0.2)
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"

        def ask() -> bool:
            """Whether the server heard of a request."""
            with pytest.raises(requests.RequestException, match="Read timed out"):
                requests.get(uri, timeout=0.1)
            with contextlib.suppress(TimeoutError):
                silent.accept()[0].close()
                return True
            return False

        with patience.one_failure_is_enough(uri):
            assert [ask(), ask(), ask()] == [True, False, False]
        assert ask()


def test_hearing_of_a_network_loads_no_torch():
    """It would take seconds of the thread that hears of all networks."""
    told = hardware.describe(torch.device("cpu"))
    assert {type(value) for value in told.values()} <= {str, int, type(None)}


def test_nothing_is_loaded_before_a_network_trains(root):
    script = "import sys; from pathlib import Path; from reslab.tracking import BackgroundLog\n"
    script += f"with BackgroundLog(Path({str(root)!r}), 'nothing'): pass\nprint('mlflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], env=os.environ, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
