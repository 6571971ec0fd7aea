"""From segments to what is said of them: medians over rounds, ratios with bootstrap intervals."""

import statistics

import numpy as np

CONFIDENCE = 0.95
LEAST_ROUNDS = 6  # for an interval
TICK = 0.01  # seconds: the step in which the system counts CPU time
EPOCH_IMAGES, EPOCH_TESTS = 50_000, 10_000  # CIFAR's, for seconds an epoch


def steady(segment: dict) -> float:
    """Images a second of wall clock, without the wait for the epochs' first batches."""
    return segment["images"] / (segment["seconds"] - segment["waited"])


def per_cpu_second(segment: dict) -> float:
    """Images a second of CPU time, that of workers and of their start included."""
    return segment["images"] / max(segment["cpu_seconds"], TICK)


def ratio(reference: list[float], other: list[float]) -> dict[str, float | None]:
    """How many times the other's rate the reference's is: the median of the rounds' ratios, with its bootstrap interval.

    The two rates of a round were measured one after the other. Percentile bootstrap over rounds (Efron, Tibshirani 1993,
    chapter 13); no interval from fewer than LEAST_ROUNDS rounds.
    """
    ratios = np.array(reference) / np.array(other)
    return {"ratio": float(np.median(ratios)), **interval(ratios)}


def interval(values: np.ndarray) -> dict[str, float | None]:
    """The bootstrap interval of a median."""
    if len(values) < LEAST_ROUNDS:
        return {"low": None, "high": None}
    from scipy.stats import bootstrap

    found = bootstrap((values,), np.median, confidence_level=CONFIDENCE, method="percentile", rng=np.random.default_rng(0))
    return {"low": float(found.confidence_interval.low), "high": float(found.confidence_interval.high)}


def summarize(found: dict[str, dict], *, reference: str, tests: int) -> dict[str, dict]:
    """Each entrant's medians, and the ratios of the reference to it; an evaluation was of `tests` images.

    Entrants that failed are left out, and so are the ratios if the reference failed or the two did not finish the same rounds.
    """
    done = {name: entry["segments"] for name, entry in found.items() if entry.get("segments") and "failed" not in entry}
    rows = {name: _medians(segments, tests) | found[name]["start"] for name, segments in done.items()}
    for name, row in rows.items():
        if reference in done:
            for clock, rate in (("wall", steady), ("cpu", per_cpu_second)):
                both = [[rate(segment) for segment in done[who]] for who in (reference, name)]
                row[f"ours_over_this_{clock}"] = ratio(*both)
    return rows


def _medians(segments: list[dict], tests: int) -> dict:
    """Seconds an epoch are CIFAR's, from the measured parts: the wait for the first batch, training, evaluation."""
    rates = [steady(segment) for segment in segments]
    evaluation = statistics.median(segment["evaluation_seconds"] for segment in segments) * EPOCH_TESTS / tests
    waited = statistics.median(segment["waited"] / segment["epochs"] for segment in segments)
    return {
        "rounds": len(segments),
        "images_per_second": statistics.median(rates),
        "slowest": min(rates),
        "fastest": max(rates),
        "images_per_cpu_second": statistics.median(map(per_cpu_second, segments)),
        "seconds_per_epoch": waited + EPOCH_IMAGES / statistics.median(rates) + evaluation,
        "evaluation_seconds": evaluation,
        "epochs_per_segment": segments[0]["epochs"],
        "peak_bytes": max(segment["peak_bytes"] for segment in segments),
    }
