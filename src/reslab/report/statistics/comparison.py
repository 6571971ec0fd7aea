"""Comparisons of experiments: differences over seeds, rates of failure, and image by image."""

import math
from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from reslab.config.report import MARGIN, Pair, Pairs
from reslab.report.statistics.equivalence import ALPHA, equivalence_p, seeds_to_settle
from reslab.report.statistics.failures import failures, trained
from reslab.report.statistics.significance import (
    Comparison,
    compare_pairs,
    compare_samples,
    divergence_p,
    divergence_seeds,
    holm,
    mcnemar,
)
from reslab.report.statistics.words import settled_by

Wrong = Mapping[tuple[str, int], np.ndarray]  # (experiment, seed) -> which test images are answered wrongly, bool (N,)


def comparisons(
    runs: pd.DataFrame, pairs: list[Pair], by_image: pd.DataFrame | None = None, *, margin: float = MARGIN / 100
) -> pd.DataFrame:
    """One row a pair of experiments (difference: first minus second, of the last epoch's test error).

    Welch's test, or the paired one where `pairs` asks for it and two seeds trained in both. Seeds that diverged or did not train
    have no error; their counts are compared by Boschloo's test. Whether a difference lies within `margin` (a fraction) is tested as
    well. All p of the table are corrected together by Holm. `by_image` is McNemar's table.
    """
    paired = isinstance(pairs, Pairs) and pairs.paired
    found = [(pair, compare(*(runs[runs["experiment"] == name] for name in pair), paired=paired)) for pair in pairs]
    counts = [[failures(runs, name) for name in pair] for pair in pairs]
    table = pd.DataFrame(
        {"experiment": pair[0], "against": pair[1], **_numbers(comparison, margin), **_failures(*both)}
        for (pair, comparison), both in zip(found, counts, strict=True)
    )
    rows = list(range(len(table)))
    p = [*table["p"], *table["equivalence_p"], *table["divergence_p"]]
    groups = [*rows, *rows, *(len(rows) + row for row in rows)]  # no difference, and one beyond the margin: not both are true
    corrected = holm(p, groups)
    table["p_holm"], table["equivalence_p_holm"], table["divergence_p_holm"] = np.split(corrected, 3)
    alpha = ALPHA / max(len({group for group, value in zip(groups, p, strict=True) if not math.isnan(value)}), 1)
    settled = [seeds_to_settle(comparison.spread, margin, alpha=alpha) for _, comparison in found]
    table[["seeds_needed", "seeds_needed_low", "seeds_needed_high"]] = pd.DataFrame(settled, index=table.index)
    table["divergence_seeds_needed"] = [divergence_seeds(*both, alpha=alpha) for both in counts]
    table["verdict"] = [verdict(row) for row in table.to_dict("records")]
    return table if by_image is None or by_image.empty else table.merge(_networks(by_image), how="left")


def compare(first: pd.DataFrame, second: pd.DataFrame, *, paired: bool = False) -> Comparison:
    """Two experiments' runs as two samples, or, if `paired`, by the seeds that trained in both where there are two such seeds."""
    errors = [trained(runs).set_index("seed")["test_error"] for runs in (first, second)]
    common = errors[0].index.intersection(errors[1].index)
    if paired and len(common) >= 2:
        return compare_pairs(*(error.loc[common].to_numpy() for error in errors))
    return compare_samples(*(error.to_numpy() for error in errors))


def _numbers(comparison: Comparison, margin: float) -> dict:
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
        "correlation": comparison.correlation,
        "margin": margin,
        "equivalence_p": equivalence_p(comparison.difference, comparison.error, comparison.freedom, margin),
    }


def _failures(first: tuple[int, int], second: tuple[int, int]) -> dict:
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
        parts.append(_verdict_on_failures(row))
    return "; ".join(parts)


def _verdict_on_errors(row: Mapping) -> str:
    if row["n"] == 1:
        return "one seed is too few"
    if math.isnan(row["p"]):
        if abs(row["difference"]) < 1e-9:
            return f"the same error in each of {row['n']} seeds"
        return f"no spread at n = {row['n']}: more seeds"
    if row["equivalence_p_holm"] < ALPHA:
        return f"the same within {100 * row['margin']:.2g} points"
    if row["p_holm"] < ALPHA:
        return "better" if row["difference"] < 0 else "worse"
    return f"undecided at n = {row['n']}{settled_by(row)}"


def _verdict_on_failures(row: Mapping) -> str:
    counts = f"failed {row['diverged']} of {row['seeds']} against {row['against_diverged']} of {row['against_seeds']}"
    if row["divergence_p_holm"] >= ALPHA:
        return f"{counts}: undecided"
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
