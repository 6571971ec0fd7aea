"""Views that MLflow's UI opens with the study: filter, order and charts, as its own button `Share` keeps them.

A view is a tag of the MLflow experiment, JSON of the UI's state (ExperimentPageUIState in MLflow's source; looked at in 3.17). A UI
that does not know a field leaves it out, one that does not know the tag shows its own defaults.
"""

import json
from typing import Any

from reslab.tracking.networks import COUNTS
from reslab.tracking.results import ExperimentResult

TAG = "mlflow.sharedViewState."
AXES = ("model.depth", "tau")  # parameters in which experiments differ most often; the UI draws those that are numbers to scale


def shared(results: list[ExperimentResult]) -> dict[str, str]:
    """Tag -> view: `networks` draws every network, `experiments` the means over seeds."""
    axes = [name for name in AXES if any(name in result.params for result in results)]
    views = {
        "networks": view("network", axes, ["final/test_error"], ["test/error", "train/loss"]),
        "experiments": view("experiment", axes, ["seeds/error_mean", "seeds/error_std"], []),
    }
    return {TAG + name: json.dumps(state) for name, state in views.items()}


def addresses(uri: str, experiment_id: str) -> list[str]:
    """Where the UI shows the views: on the server of a store, or where `make ui` serves a file."""
    server = uri.rstrip("/") if uri.startswith("http") else "http://127.0.0.1:5000"
    page = f"{server}/#/experiments/{experiment_id}/runs?workflowType=machine_learning&compareRunsMode=CHART&viewStateShareKey="
    return [page + name for name in ("networks", "experiments")]


def view(kind: str, axes: list[str], scores: list[str], curves: list[str]) -> dict[str, Any]:
    """The UI's state: runs of a kind, the lowest first score on top; how it depends on axes and cost; scores and curves."""
    wide, narrow = f"{kind}s: depth, tau, cost, error", f"{kind}s"
    charts = {wide: [parallel(axes, scores[0])]}
    charts[narrow] = (
        [scatter(axis, scores[0]) for axis in axes] + [bars(score) for score in scores] + [lines(key) for key in curves]
    )
    return {
        "searchFilter": f"tags.kind = '{kind}'",
        "orderByKey": f"metrics.`{scores[0]}`",  # by default the UI nests, and draws only what is unfolded
        "orderByAsc": True,
        "runsHiddenMode": "SHOW_ALL",
        "compareRunCharts": [
            {"uuid": f"{name}-{number}", "metricSectionId": name, "deleted": False, "isGenerated": False, **chart}
            for name, found in charts.items()
            for number, chart in enumerate(found)
        ],
        "compareRunSections": [section(wide, columns=1), section(narrow, columns=3)],
        "isAccordionReordered": True,
        "globalLineChartConfig": {"xAxisKey": "step", "lineSmoothness": 0, "selectedXAxisMetricKey": ""},
    }


def section(name: str, *, columns: int) -> dict[str, Any]:
    """A group of charts."""
    shown = {"display": True, "isReordered": True, "deleted": False, "isGenerated": False}
    return {"uuid": name, "name": name, "columns": columns, **shown}


def parallel(axes: list[str], score: str) -> dict[str, Any]:
    """One line a run through its parameters, cost and score, coloured by the score."""
    return {"type": "PARALLEL", "selectedParams": axes, "selectedMetrics": [*COUNTS, score], "showAllRuns": True}


def scatter(axis: str, score: str) -> dict[str, Any]:
    """A score against a parameter."""
    ends = {"xaxis": {"key": axis, "type": "PARAM"}, "yaxis": {"key": score, "type": "METRIC"}}
    return {"type": "SCATTER", "runsCountToCompare": 100, **ends}


def bars(score: str) -> dict[str, Any]:
    """One bar a run."""
    return {"type": "BAR", "metricKey": score, "runsCountToCompare": 100}


def lines(curve: str) -> dict[str, Any]:
    """A metric by epoch, as it was measured."""
    return {"type": "LINE", "metricKey": curve, "selectedMetricKeys": [curve], "runsCountToCompare": 100, "lineSmoothness": 0}
