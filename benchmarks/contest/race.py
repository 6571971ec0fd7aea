"""Time to an accuracy: each loop trains the same recipe to its end, with several seeds; when was it as good as the tuned loop?

A loop that is fast and learns worse gains nothing here. The mark is the largest error that the tuned loop ended with, of all its
seeds: the error that it reaches with each of them.
"""

import statistics
from collections.abc import Callable
from dataclasses import replace

import torch

from contest.clocks import Clock
from contest.compare import ratio
from contest.guard import in_a_process
from loops import build
from loops.job import Job, LevelRefused
from reslab.errors import UserError, one_line

MARK = "tuned"  # the loop whose error is to be reached


def raced(loop: str, job: Job, epochs: int) -> list[dict[str, float]]:
    """After each epoch the seconds since the loop began to be built, of wall clock and CPU, scoring left out, and the error."""
    rows, scoring = [], (0.0, 0.0)
    clock = Clock(torch.device(job.device))
    trained = build(loop, job)
    for _ in range(epochs):
        trained.train(1)
        wall, cpu = clock.read()
        error = trained.evaluate()
        rows.append({"seconds": wall - scoring[0], "cpu_seconds": cpu - scoring[1], "error": error})
        after = clock.read()
        scoring = (scoring[0] + after[0] - wall, scoring[1] + after[1] - cpu)
    return rows


def race(loops: dict[str, tuple[str, str]], job: Job, epochs: int, *, say: Callable[[str], None], until: float) -> dict:
    """All loops with all seeds of the job, in turn; by loop its runs and what `judge` says of them, or why it failed."""
    runs: dict[str, list] = {name: [] for name in loops}
    failed: dict[str, str] = {}
    for place, seed in enumerate(job.seeds):
        names = list(loops)
        for name in names[place % len(names) :] + names[: place % len(names)]:
            if name in failed:
                continue
            loop, level = loops[name]
            say(f"race: {name}, seed {seed}")
            try:
                runs[name].append(in_a_process(raced, loop, replace(job, level=level, seeds=(seed,)), epochs, until=until))
            except LevelRefused as error:
                failed[name] = f"refused: {one_line(error)[:300]}"
            except UserError:
                raise
            except Exception as error:  # noqa: BLE001 - the others' runs are still worth having
                failed[name] = f"{type(error).__name__}: {one_line(error)[:300]}"
    whole = {name: found for name, found in runs.items() if len(found) == len(job.seeds)}
    return {"runs": whole, "failed": failed, "summary": judge(whole, "seconds" if job.device == "cuda" else "cpu_seconds")}


def judge(runs: dict[str, list[list[dict]]], clock: str) -> dict[str, dict]:
    """By loop: how many seeds reached the mark, the median epochs and seconds until then, the final errors; ratios by `clock`.

    A ratio is the loop's seconds over ours, paired by seed, where both reached the mark. Empty if the tuned loop did not end.
    """
    if MARK not in runs:
        return {}
    mark = max(run[-1]["error"] for run in runs[MARK])
    reached = {name: [_first(run, mark) for run in found] for name, found in runs.items()}
    ours = next(iter(runs))
    rows = {}
    for name, found in reached.items():
        there = [epoch for epoch in found if epoch is not None]
        pairs = [(mine[clock], theirs[clock]) for mine, theirs in zip(reached[ours], found, strict=True) if mine and theirs]
        finals = [run[-1]["error"] for run in runs[name]]
        rows[name] = {
            "mark": mark,
            "reached": f"{len(there)} of {len(found)}",
            **{key: _median([epoch[key] for epoch in there]) for key in ("epoch", "seconds", "cpu_seconds")},
            "final_error": statistics.mean(finals),
            "final_errors": finals,
            "times_ours": ratio([theirs for _, theirs in pairs], [mine for mine, _ in pairs]) if pairs else None,
        }
    return rows


def _median(values: list[float]) -> float | None:
    return statistics.median(values) if values else None


def _first(run: list[dict], mark: float) -> dict | None:
    """The first epoch that was as good as the mark, with its number."""
    return next((row | {"epoch": number} for number, row in enumerate(run, 1) if row["error"] <= mark), None)
