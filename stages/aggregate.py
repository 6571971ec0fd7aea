"""Tables, statistics and plots of the whole study: `python stages/aggregate.py metrics`."""

import json
from pathlib import Path

import pandas as pd

from reslab import config
from reslab.errors import run
from reslab.report import plots, tables
from reslab.report.summary import epoch_means, headline, runs_table, summarize
from reslab.store import project_root
from reslab.tracking import Store, attempt


def main(metrics: Path, params: Path = Path("params.yaml")) -> None:
    """Read METRICS/runs and METRICS/history; write METRICS/summary.json, tables/, curves/ and plots/."""
    study = config.load(params)
    runs = runs_table(study, metrics / "runs")
    summary = summarize(study, runs)
    histories = {name: pd.read_csv(metrics / "history" / f"{name}.csv") for name in study.experiments}
    for folder in ("tables", "curves", "plots"):
        (metrics / folder).mkdir(exist_ok=True)

    (metrics / "summary.json").write_text(json.dumps(headline(summary), indent=1) + "\n")
    (metrics / "tables" / "results.md").write_text(tables.markdown(summary, runs, study.report.title))
    summary.to_csv(metrics / "tables" / "results.csv", index=False, lineterminator="\n")
    means = pd.concat([epoch_means(history).assign(experiment=name) for name, history in histories.items()])
    means["test_error_percent"] = means["test_error"] * 100
    means.to_csv(metrics / "curves" / "curves.csv", index=False, lineterminator="\n", float_format="%.6g")
    plots.curves(histories, metrics / "plots" / "curves.svg")
    plots.depth_and_tau(summary, runs, metrics / "plots" / "depth_and_tau.svg")
    shown = [metrics / "tables", metrics / "plots"]
    attempt(lambda: Store(project_root(), study.name).log_report(shown), "the summary")
    print((metrics / "tables" / "results.md").read_text())


if __name__ == "__main__":
    run(main)
