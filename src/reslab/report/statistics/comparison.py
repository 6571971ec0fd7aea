"""Comparisons of experiments: differences over seeds, rates of divergence, and image by image."""

import math
from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from reslab.config.report import Pair
from reslab.report.statistics.significance import (
    ALPHA,
    Comparison,
    compare_pairs,
    compare_samples,
    divergence_p,
    divergence_seeds,
    holm,
    mcnemar,
    seeds_needed,
)

Wrong = Mapping[tuple[str, int], np.ndarray]  # (experiment, seed) -> which test images are answered wrongly, bool (N,)


def comparisons(runs: pd.DataFrame, pairs: list[Pair], by_image: pd.DataFrame | None = None) -> pd.DataFrame:
    """One row a pair of experiments (difference: first minus second, of the last epoch's test error).

    Paired by seed where both finished at least two common seeds, else Welch. Diverged seeds have no error; their counts are
    compared by Fisher's test. All p of the table, of means and of counts, are corrected together by Holm. `by_image` is
    McNemar's table.
    """
    found = [(pair, compare(*(runs[runs["experiment"] == name] for name in pair))) for pair in pairs]
    counts = [[divergence(runs, name) for name in pair] for pair in pairs]
    table = pd.DataFrame(
        {"experiment": pair[0], "against": pair[1], **_numbers(comparison), **_divergence(*both)}
        for (pair, comparison), both in zip(found, counts, strict=True)
    )
    corrected = holm([*table["p"], *table["divergence_p"]])
    table["p_holm"], table["divergence_p_holm"] = np.split(corrected, 2)
    alpha = ALPHA / max(int(np.isfinite(corrected).sum()), 1)
    table["seeds_needed"] = [seeds_needed(comparison.power, alpha=alpha) for _, comparison in found]
    table["divergence_seeds_needed"] = [divergence_seeds(*both, alpha=alpha) for both in counts]
    table["verdict"] = [verdict(row) for row in table.to_dict("records")]
    return table if by_image is None or by_image.empty else table.merge(_networks(by_image), how="left")


def compare(first: pd.DataFrame, second: pd.DataFrame) -> Comparison:
    """Two experiments' runs by the seeds that finished in both, or as two samples where there are not two such seeds."""
    errors = [runs[runs["status"] != "diverged"].set_index("seed")["test_error"] for runs in (first, second)]
    common = errors[0].index.intersection(errors[1].index)
    if len(common) >= 2:
        return compare_pairs(*(error.loc[common].to_numpy() for error in errors))
    return compare_samples(*(error.to_numpy() for error in errors))


def _numbers(comparison: Comparison) -> dict:
    return {
        "method": comparison.method,
        "n": comparison.n,
        "difference": comparison.difference,
        "ci_low": comparison.interval[0],
        "ci_high": comparison.interval[1],
        "p": comparison.p,
        "g": comparison.effect,
        "g_low": comparison.effect_interval[0],
        "g_high": comparison.effect_interval[1],
    }


def divergence(runs: pd.DataFrame, name: str) -> tuple[int, int]:
    """The numbers of an experiment's seeds that diverged and that finished."""
    diverged = runs.loc[runs["experiment"] == name, "status"] == "diverged"
    return int(diverged.sum()), int((~diverged).sum())


def _divergence(first: tuple[int, int], second: tuple[int, int]) -> dict:
    return {
        "diverged": first[0],
        "seeds": sum(first),
        "against_diverged": second[0],
        "against_seeds": sum(second),
        "divergence_p": divergence_p(first, second),
    }


def verdict(row: Mapping) -> str:
    """A row of `comparisons` in plain words; "better" means a lower error."""
    parts = [] if row["n"] == 0 else [_verdict_on_errors(row)]
    if not math.isnan(row["divergence_p"]):
        parts.append(_verdict_on_divergence(row))
    return "; ".join(parts)


def _verdict_on_errors(row: Mapping) -> str:
    if row["n"] == 1:
        return "one seed is too few"
    if math.isnan(row["p"]):
        if abs(row["difference"]) < 1e-9:
            return f"the same error in each of {row['n']} seeds"
        return f"no spread at n = {row['n']}: more seeds"
    if row["p_holm"] < ALPHA:
        return "better" if row["difference"] < 0 else "worse"
    return f"not distinguishable at n = {row['n']}"


def _verdict_on_divergence(row: Mapping) -> str:
    counts = f"diverged {row['diverged']} of {row['seeds']} against {row['against_diverged']} of {row['against_seeds']}"
    if row["divergence_p_holm"] >= ALPHA:
        return f"{counts}: not distinguishable"
    less = row["diverged"] / row["seeds"] < row["against_diverged"] / row["against_seeds"]
    return f"{counts}: {'less' if less else 'more'} often"


def image_by_image(wrong: Wrong, pairs: list[Pair]) -> pd.DataFrame:
    """McNemar's exact test between the two networks of each seed that a pair of experiments shares, Holm-corrected.

    This compares two networks, not two methods: another seed may reverse the result.
    """
    rows = list(_network_pairs(wrong, pairs))
    table = pd.DataFrame(rows, columns=["experiment", "against", "seed", "images", "only_first_wrong", "only_second_wrong", "p"])
    table["p_holm"] = holm(table["p"].to_list())
    return table


def _network_pairs(wrong: Wrong, pairs: list[Pair]) -> Iterator[tuple]:
    for first, second in pairs:
        for name, seed in wrong:
            if name == first and (second, seed) in wrong:
                answers = wrong[first, seed], wrong[second, seed]
                yield (first, second, seed, len(answers[0]), *mcnemar(*answers))


def _networks(by_image: pd.DataFrame) -> pd.DataFrame:
    """For each pair of experiments the number of pairs of networks that were compared, and of those that differ."""
    differ = by_image.assign(networks=1, networks_differing=by_image["p_holm"] < ALPHA)
    return differ.groupby(["experiment", "against"], as_index=False)[["networks", "networks_differing"]].sum()
