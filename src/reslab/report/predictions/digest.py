"""A digest of each network's predictions for the study's tables: small enough to hold those of all networks at once."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from reslab.report import predictions
from reslab.report.predictions.calibration import debiased, if_perfect
from reslab.report.predictions.scores import class_errors, confused, confusion, reliability
from reslab.report.statistics.failures import trained
from reslab.runs.network_files import checksum_of

NO_ANSWER = "(no answer)"
CONFUSION = ["experiment", "true", "predicted", "images", "share"]


@dataclass(frozen=True)
class Digest:
    """Of one network on the test images: which it got wrong (bool, N), its confusion matrix and its reliability table."""

    wrong: np.ndarray
    confusion: pd.DataFrame
    reliability: pd.DataFrame


Digests = dict[tuple[str, int], Digest]  # (experiment, seed) -> digest


def read(runs: pd.DataFrame, folder: Path) -> tuple[Digests, list[str]]:
    """The digests of the runs that trained, and the names of the networks whose predictions are not in `folder`.

    A clone has records and tables from git, predictions only once DVC has fetched or made them. Raises UserError for damaged ones,
    and for those that are not the ones that the record was made of.
    """
    digests, missing = {}, []
    for run in trained(runs).to_dict("records"):
        path = folder / run["experiment"] / f"seed{run['seed']}" / "test.safetensors"
        if not path.exists():
            missing.append(f"{run['experiment']}-s{run['seed']}")
            continue
        found = predictions.load(path, checksum_of(run, "test.safetensors"))
        digests[run["experiment"], run["seed"]] = Digest(
            found.wrong,
            confusion(found.logits, found.labels, found.class_names),
            reliability(found.logits, found.labels),
        )
    return digests, missing


def calibration(digests: Digests) -> pd.DataFrame:
    """One row a network: its debiased calibration error and what perfect calibration would show with as many images."""
    rows = [
        (*key, debiased(digest.reliability), if_perfect(digest.reliability))
        if digest.reliability["images"].sum() == len(digest.wrong)
        else (*key, math.nan, math.nan)  # as test_ece: not of networks that leave images without an answer
        for key, digest in digests.items()
    ]
    return pd.DataFrame(rows, columns=["experiment", "seed", "test_ece_debiased", "test_ece_perfect"])


def by_class(digests: Digests) -> pd.DataFrame:
    """One row an experiment and class: test images, and the error as mean and spread over the networks."""
    tables = [
        class_errors(digest.confusion).assign(experiment=experiment, order=np.arange(len(digest.confusion)))
        for (experiment, _), digest in digests.items()
    ]
    groups = pd.concat(tables).groupby(["experiment", "order", "class"], sort=False)
    summed = groups.agg(images=("images", "first"), n=("error", "size"), error=("error", "mean"), std=("error", "std"))
    return summed.reset_index().drop(columns="order")


def confusions(digests: Digests, *, mistakes: bool = True) -> pd.DataFrame:
    """Confusions, one row an experiment and pair of classes, the most frequent first; right answers too without `mistakes`.

    `images` is summed over the networks, `share` is that of the images of the true class.
    """
    rows = [pd.DataFrame(columns=CONFUSION)] if not digests else []
    for name in dict.fromkeys(experiment for experiment, _ in digests):
        counts = sum(digest.confusion for (experiment, _), digest in digests.items() if experiment == name)
        pairs = confused(counts, mistakes=mistakes)
        pairs.loc[pairs["predicted"] == "", "predicted"] = NO_ANSWER
        rows.append(pairs.sort_values("share", ascending=False, kind="stable").assign(experiment=name))
    return pd.concat(rows, ignore_index=True)[CONFUSION]


def pooled_reliability(digests: Digests) -> dict[str, pd.DataFrame]:
    """Experiment -> the reliability table of all its networks' answers together."""
    pooled = {}
    for name in dict.fromkeys(experiment for experiment, _ in digests):
        tables = [digest.reliability.fillna(0) for (experiment, _), digest in digests.items() if experiment == name]
        images = sum(table["images"] for table in tables)
        means = {key: sum(table[key] * table["images"] for table in tables) / images for key in ("confidence", "accuracy")}
        pooled[name] = tables[0][["low", "high"]].assign(images=images, **means)
    return pooled
