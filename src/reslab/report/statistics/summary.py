"""Statistics of runs, of networks and of experiments, from run records. Errors are fractions; only tables have percent."""

import io
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from reslab.config.study import Study
from reslab.data.sizes import commonest_share
from reslab.errors import UserError
from reslab.report.statistics.failures import UNTRAINED, trained, with_untrained
from reslab.report.statistics.intervals import NOTHING
from reslab.report.statistics.samples import statistics, wilson_interval
from reslab.report.statistics.two_sources import seeds_and_images, seeds_and_images_bound
from reslab.runs.checksums import read_bytes
from reslab.runs.environments import differing
from reslab.runs.network_files import checksum_of, experiment_record

CALIBRATION = ("test_ece_debiased", "test_ece_perfect")
MEANS = ("test_top5_error", "test_loss", "test_ece", *CALIBRATION, "validation_error")  # of these the table has the mean over seeds


def runs_table(study: Study, folder: Path, *, older: bool = False) -> pd.DataFrame:
    """One row a network, in the study's order, from `folder`/<experiment>.json; its status may be "did not train".

    Raises UserError if an experiment or a seed has no record, or if one is damaged. `older`: also records without a checksum.
    """
    rows = []
    for name in study.experiments:
        path = folder / f"{name}.json"
        found = {run["seed"]: run for run in experiment_record(path, older=older)["runs"]}
        missing = [str(seed) for seed in study.seeds if seed not in found]
        if missing:
            raise UserError(f"{path}: no record of seed {', '.join(missing)}; run `dvc repro`")
        rows += [{"experiment": name, **found[seed]} for seed in study.seeds]
    return with_untrained(pd.DataFrame(rows), commonest_share(study.dataset))


def histories(study: Study, metrics: Path) -> dict[str, pd.DataFrame]:
    """Experiment -> its history, one row a seed and epoch, from METRICS/history; raises UserError if one is damaged."""
    found = {}
    for name in study.experiments:
        path = metrics / "history" / f"{name}.csv"
        listed = checksum_of(experiment_record(metrics / "runs" / f"{name}.json"), path.name)
        found[name] = pd.read_csv(io.BytesIO(read_bytes(path, listed)))
    return found


def summarize(study: Study, runs: pd.DataFrame, wrong: Mapping[tuple[str, int], np.ndarray] | None = None) -> pd.DataFrame:
    """One row an experiment: statistics of the last epoch's test error over the runs that neither diverged nor failed to train.

    `wrong`: (experiment, seed) -> which test images are answered wrongly; where it has all of an experiment's trained networks the
    interval over seeds and images is computed from them, elsewhere it is a bound from the records.
    """
    rows = []
    for name, group in runs.groupby("experiment", sort=False):
        kept, measured = trained(group), group[group["status"] != "diverged"]
        published, mixed = study.report.published.get(name), differing(group.to_dict("records"))
        found = statistics(kept["test_error"])
        rows.append(
            {
                "experiment": name,
                "model": group["config"].iloc[0]["model"].get("name"),
                "depth": group["config"].iloc[0]["model"].get("depth") or math.nan,
                "norm": group["config"].iloc[0]["model"].get("norm", "batch"),
                "tau": group["tau"].iloc[0] if "tau" in group else math.nan,
                "parameters": group["parameters"].iloc[0],
                **found,
                **_both(kept, found, wrong or {}),
                **{key: mean_of(kept, key) for key in MEANS},
                "diverged": int((group["status"] == "diverged").sum()),
                "untrained": int((group["status"] == UNTRAINED).sum()),
                "mean_all": mean_of(measured, "test_error"),
                "std_all": measured["test_error"].astype(float).std(ddof=1),
                "published": published.error / 100 if published else math.nan,
                "published_std": published.std / 100 if published and published.std is not None else math.nan,
                "source": published.source if published else "",
                "seconds": math.nan if mixed else group["seconds"].mean(),
                "images_per_second": math.nan if mixed else kept["images_per_second"].mean(),
                "mixed": ", ".join(mixed),
            }
        )
    return pd.DataFrame(rows)


def _both(kept: pd.DataFrame, found: Mapping, wrong: Mapping[tuple[str, int], np.ndarray]) -> dict:
    """The interval over seeds and test images, and what it was computed from."""
    keys = list(zip(kept["experiment"], kept["seed"], strict=True))
    if keys and all(key in wrong for key in keys):
        interval, source = seeds_and_images(np.stack([wrong[key] for key in keys])), "predictions"
    else:
        images = kept["test_images"].astype(float).min() if len(kept) and "test_images" in kept else math.nan
        interval, source = seeds_and_images_bound(found["mean"], found["std"], found["n"], images), "records"
    if math.isnan(interval[0]) or math.isnan(found["ci_low"]):
        return {"seeds_images_low": math.nan, "seeds_images_high": math.nan, "seeds_images_from": ""}
    # The images' many degrees of freedom may make it the narrower one; both sources of chance are not less than one of them.
    interval = min(interval[0], found["ci_low"]), max(interval[1], found["ci_high"])
    return {"seeds_images_low": interval[0], "seeds_images_high": interval[1], "seeds_images_from": source}


def network_scores(runs: pd.DataFrame, calibration: pd.DataFrame | None = None) -> pd.DataFrame:
    """One row a trained network: its scores, and Wilson's interval of its error over the draw of the test images.

    One that diverged has no scores here: the error of 1 in its record only marks it. One that did not train has them.
    """
    scores = ["test_error", "test_top5_error", "test_loss", "test_ece"]
    validation = ["validation_error"] if "validation_error" in runs else []
    measured = runs.reindex(columns=[*scores, *validation]).astype(float).where(runs["status"] != "diverged")
    table = runs.reindex(columns=["experiment", "seed", "status", "test_images"]).assign(**measured[scores])
    bounds = [
        NOTHING
        if math.isnan(row.test_images) or math.isnan(row.test_error)
        else wilson_interval(round(row.test_error * row.test_images), int(row.test_images))
        for row in table.astype({"test_images": float}).itertuples()
    ]
    table[["images_low", "images_high"]] = pd.DataFrame(bounds, columns=["low", "high"], index=table.index)
    table = table.assign(**measured[validation], seconds=runs["seconds"])
    return table if calibration is None else table.merge(calibration, how="left", on=["experiment", "seed"])


def mean_of(runs: pd.DataFrame, key: str) -> float:
    """The mean of a column; NaN if the records do not have it."""
    return runs[key].astype(float).mean() if key in runs else math.nan


def headline(summary: pd.DataFrame) -> dict[str, dict[str, float]]:
    """The few rounded numbers that `dvc metrics diff` compares: error and spread in percent, diverged seeds."""
    rows = {}
    for row in summary.itertuples():
        values = {"error_percent": row.mean * 100, "std_percent": row.std * 100, "validation_percent": row.validation_error * 100}
        rows[row.experiment] = {key: round(value, 2) for key, value in values.items() if not math.isnan(value)}
        rows[row.experiment]["diverged_seeds"] = int(row.diverged)
        if row.untrained:
            rows[row.experiment]["untrained_seeds"] = int(row.untrained)
    return rows


def diverged_seeds(history: pd.DataFrame) -> set[int]:
    """The seeds whose training loss was not finite in some epoch."""
    return set(history.loc[~np.isfinite(history["train_loss"]), "seed"])


def converged(history: pd.DataFrame) -> pd.DataFrame:
    """A history without the seeds that diverged; all of it, if all did."""
    kept = history[~history["seed"].isin(diverged_seeds(history))]
    return kept if len(kept) else history


def epoch_means(history: pd.DataFrame) -> pd.DataFrame:
    """Mean of every column of a history, one row an epoch, over the seeds that did not diverge (over all, if all did)."""
    return converged(history).drop(columns="seed").groupby("epoch", as_index=False).mean()
