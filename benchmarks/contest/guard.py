"""The accuracy guard: each loop that was timed also trains on real digits, and must end where the others end."""

import statistics
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from typing import Any

from contest.processes import begin, fresh, result_of
from loops import build
from loops.job import Job

LEAST_RATE = 0.01  # the least error for which the bound is worked out


def in_a_process(function: Callable, *arguments: Any, until: float = float("inf")) -> Any:
    """Call it in a fresh process, which ends with it, or at the time `until`; then raises TooLong."""
    with ProcessPoolExecutor(1, mp_context=fresh(), initializer=begin, initargs=({}, until)) as pool:
        return result_of(pool.submit(function, *arguments), until)


def trained_error(loop: str, job: Job, epochs: int) -> float:
    """The test error, a fraction, after training to the end: the mean over the job's seeds, one after the other."""
    errors = []
    for seed in job.seeds:
        trained = build(loop, replace(job, seeds=(seed,)))
        trained.train(epochs)
        errors.append(trained.evaluate())
    return statistics.mean(errors)


def judge(errors: dict[str, float], *, tests: int) -> dict[str, dict]:
    """Each loop's error, the bound, and whether it kept it.

    The bound is on the distance to the median of all loops: three standard deviations of the difference of two error rates that
    were counted on `tests` images each (binomial; the images are the same, so it is rather too wide than too narrow).
    """
    middle = statistics.median(errors.values())
    rate = max(middle, LEAST_RATE)
    bound = 3 * (2 * rate * (1 - rate) / tests) ** 0.5
    return {
        name: {"error": error, "median": middle, "bound": bound, "kept": abs(error - middle) <= bound}
        for name, error in errors.items()
    }
