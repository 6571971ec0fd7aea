"""The runs of one study in an MLflow store: finding them by their key, and adding to them what they do not have yet."""

import math
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from reslab.tracking import networks
from reslab.tracking.networks import PARENT, RUN_KEY, STATUS

if TYPE_CHECKING:  # mlflow takes seconds to import
    from mlflow.entities import Metric, Run

PARAMS_PER_CALL, METRICS_PER_CALL = 100, 1000  # the server's limits
LARGEST = 1.7e308  # MLflow's databases keep an infinite number as the largest one


class StudyRuns:
    """The runs of the MLflow experiment with this id."""

    def __init__(self, client: Any, experiment_id: str) -> None:
        self.client, self.experiment_id = client, experiment_id

    def find(self, key: str) -> "Run | None":
        """The run that has this key, a complete one before others; of several that are not complete one is kept."""
        found = sorted(self.client.search_runs([self.experiment_id], f"tags.`{RUN_KEY}` = '{key}'"), key=complete, reverse=True)
        for run in found[1:]:
            if not complete(run):
                self.client.delete_run(run.info.run_id)
        return found[0] if found else None

    def find_complete(self, key: str) -> "Run | None":
        """The run that has this key, if all was logged."""
        found = self.find(key)
        return found if found is not None and complete(found) else None

    def start(self, name: str, tags: Mapping[str, str], start_time: int | None = None) -> "Run":
        """A new run."""
        return self.client.create_run(self.experiment_id, start_time=start_time, run_name=name, tags=dict(tags))

    def take_up(self, run: "Run", tags: Mapping[str, str]) -> None:
        """Go on with a run that had ended, or was left when its process was killed."""
        if run.info.status != "RUNNING":
            self.client.update_run(run.info.run_id, status="RUNNING")
        self.set_tags(run, tags)

    def set_tags(self, run: "Run", values: Mapping[str, str]) -> None:
        """Set the tags that the run does not have, or has otherwise."""
        from mlflow.entities import RunTag

        changed = [RunTag(key, value) for key, value in values.items() if run.data.tags.get(key) != value]
        if changed:
            self.client.log_batch(run.info.run_id, tags=changed)

    def log_params(self, run: "Run", values: Mapping[str, str]) -> None:
        """Log the parameters that the run does not have."""
        from mlflow.entities import Param

        params = [Param(key, value) for key, value in values.items() if key not in run.data.params]
        for start in range(0, len(params), PARAMS_PER_CALL):
            self.client.log_batch(run.info.run_id, params=params[start : start + PARAMS_PER_CALL])

    def log_metrics(self, run_id: str, metrics: "list[Metric]") -> None:
        """Log metrics, as many in a call as a server takes."""
        for start in range(0, len(metrics), METRICS_PER_CALL):
            self.client.log_batch(run_id, metrics=metrics[start : start + METRICS_PER_CALL])

    def update_metrics(self, run: "Run", values: Mapping[str, float]) -> None:
        """Log the numbers that the run does not have yet, or has otherwise: the latest counts."""
        from mlflow.entities import Metric

        found, now = run.data.metrics, int(time.time() * 1000)
        changed = {key: value for key, value in values.items() if not same(found.get(key), value)}
        for key in changed.keys() & found.keys():  # a clock that was ahead has made it the latest for a while
            now = max(now, *(1 + metric.timestamp for metric in self.client.get_metric_history(run.info.run_id, key)))
        self.log_metrics(run.info.run_id, [Metric(key, value, now, 0) for key, value in changed.items()])

    def log_dataset(self, run: "Run", record: Mapping[str, Any]) -> None:
        """Log the dataset of a network, once, with its checksum and the sizes of its splits."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        if (told := networks.dataset(record)) is not None and not (run.inputs and run.inputs.dataset_inputs):
            described, splits = told
            inputs = [DatasetInput(Dataset(**described), [InputTag("mlflow.data.context", splits)])]
            self.client.log_inputs(run.info.run_id, datasets=inputs)

    def epochs(self, run: "Run") -> set[int]:
        """The epochs that are in a run."""
        if "train/loss" not in run.data.metrics:
            return set()
        return {metric.step for metric in self.client.get_metric_history(run.info.run_id, "train/loss")}

    def add_history(self, run: "Run", wanted: "Iterable[Metric]") -> bool:
        """Log what a run lacks of a history, each number once; False, and nothing is logged, if it has another history."""
        known: dict[tuple[str, int], float] = {}
        wanted = list(wanted)
        for key in {metric.key for metric in wanted} & run.data.metrics.keys():
            known |= {(key, metric.step): metric.value for metric in self.client.get_metric_history(run.info.run_id, key)}
        if any(not same(known.get((metric.key, metric.step), metric.value), metric.value) for metric in wanted):
            return False
        self.log_metrics(run.info.run_id, [metric for metric in wanted if (metric.key, metric.step) not in known])
        return True

    def settle(self, experiment_run: str) -> None:
        """End the run of an experiment as its networks' runs have ended, unless one of them is under way."""
        children = self.client.search_runs([self.experiment_id], f"tags.`{PARENT}` = '{experiment_run}'")
        broken = {run.info.status for run in children if not complete(run)}
        if "RUNNING" not in broken:
            status = next((worst for worst in ("FAILED", "KILLED") if worst in broken), "FINISHED")
            ended = max((run.info.end_time or 0 for run in children), default=0)
            self.client.set_terminated(experiment_run, status, end_time=ended or None)


def complete(run: "Run") -> bool:
    """Whether all was logged: a network that diverged has failed, and that is its result."""
    return run.info.status == "FINISHED" or (run.info.status == "FAILED" and run.data.tags.get(STATUS) == "diverged")


def same(found: float | None, value: float) -> bool:
    """Whether a number is the one that was logged."""
    if found is None:
        return False
    if math.isinf(value):
        return abs(found) > LARGEST and (found > 0) == (value > 0)
    return found == value or (math.isnan(found) and math.isnan(value))
