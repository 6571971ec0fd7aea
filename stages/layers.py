"""Measure every layer of every network, if the study asks for it: `python stages/layers.py data/runs data/layers metrics/layers`.

At initialisation and after training; at further depths (`report.layers.depths`) at initialisation alone.
"""

from pathlib import Path

from reslab import config
from reslab.config.study import Study
from reslab.environment import project_root
from reslab.errors import located, run
from reslab.runs import table_checksums
from reslab.runs.folders import remove_output

NOT_MEASURED = "not_measured.txt"
HOW = (
    "The study does not ask for its layers: with `layers: {images: 64}` under `report` in params.yaml `dvc repro` measures them.\n"
)


def leave_out(*folders: Path) -> None:
    """Write nothing but how to get the layer study, which takes no time and loads no torch."""
    for folder in folders:
        remove_output(folder, "*.csv", "*.md", "*.svg", table_checksums.NAME, NOT_MEASURED)
        folder.mkdir(parents=True)
        (folder / NOT_MEASURED).write_text(HOW, encoding="utf-8")
    print(HOW, end="")


def measure(study: Study, runs: Path, rows: Path, metrics: Path, params: Path, data: Path) -> None:
    """Tidy CSV of all layers and of the stream into ROWS, tables and plots into METRICS."""
    from reslab.data import prepared
    from reslab.report.figures.growth import plot_growth, plot_responses
    from reslab.report.statistics.growth import growth, has_depths
    from reslab.report.tables.growth import growth_markdown
    from reslab.tracking import Store, attempt
    from reslab.training.execution import hardware
    from reslab.weights.layers import INITIAL, TRAINED, measured

    loaded, device = prepared.load(data), hardware.choose_device()
    hardware.prepare(device, precision="float64", fast=False)
    with located(params):
        responses, stream = measured(study, loaded, runs, device)
    config.check_still(params, study, lambda now: now)
    grown = growth(stream)
    for folder in (rows, metrics):
        folder.mkdir(parents=True, exist_ok=True)
    for table, path in ((responses, rows / "responses.csv"), (stream, rows / "stream.csv"), (grown, metrics / "growth.csv")):
        table.to_csv(path, index=False, lineterminator="\n", float_format="%.6g")
    (metrics / "growth.md").write_text(growth_markdown(grown), encoding="utf-8")
    trained = responses[responses["experiment"].isin(list(study.experiments))]
    plot_responses(trained, metrics / "responses_initial.svg", moment=INITIAL)
    plot_responses(trained, metrics / "responses_trained.svg", moment=TRAINED)
    if has_depths(grown):
        plot_growth(grown, metrics / "growth.svg", against="blocks")
    if grown["tau"].notna().any():
        plot_growth(grown, metrics / "threshold.svg", against="scaled")
    table_checksums.write(metrics)
    attempt(lambda: Store(project_root(), study.name).log_report([metrics]), "the layers")
    print((metrics / "growth.md").read_text(encoding="utf-8"))


def main(
    runs: Path,
    rows: Path,
    metrics: Path,
    params: Path = Path("params.yaml"),
    data: Path = Path("data/prepared"),
) -> None:
    """Measure the study's networks, new and as trained in RUNS; tidy CSV into ROWS, tables and plots into METRICS."""
    study = config.load(params)
    if study.report.layers.model_fields_set:
        measure(study, runs, rows, metrics, params, data)
    else:
        leave_out(rows, metrics)


if __name__ == "__main__":
    run(main)
