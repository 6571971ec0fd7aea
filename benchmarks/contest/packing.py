"""Several networks at once: ours in one process, others one after the other, in as many processes, and under NVIDIA's MPS."""

import statistics
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from contest import mps
from contest.compare import per_cpu_second, ratio, steady
from contest.entrant import Driven, Entrant
from contest.rounds import contest
from loops.job import Job

IN_TURN = "in turn"  # K networks one after the other: the rate of one


def pack(
    job: Job,
    *,
    ours: tuple[int, ...],
    others: tuple[int, ...],
    loops: tuple[str, ...],
    rounds: int,
    seconds: float,
    say: Callable[[str], None],
    until: float,
) -> dict:
    """Measure them side by side; the first of `loops`, in turn, is the reference of all ratios."""

    def entrant(name: str, loop: str, count: int, variables: dict[str, str] | None = None) -> Entrant:
        shared = replace(job, seeds=tuple(range(count)), workers=max(1, job.workers // count) if job.workers else 0)
        return Entrant(name, loop, shared, variables=variables, until=until)

    counts: dict[str, int] = {}
    failed: dict[str, str] = {}
    with ExitStack() as stack:
        entrants: list[Driven] = [entrant(f"{loop}, {IN_TURN}", loop, 1) for loop in loops]
        entrants += [entrant(f"ours x {count}", "ours", count) for count in ours]
        ways: list[tuple[str, dict[str, str] | None]] = [("processes", None)]
        if job.device == "cuda" and others:
            try:
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
                ways.append(("processes under MPS", stack.enter_context(mps.server(folder))))
            except mps.NoServer as why:
                failed["processes under MPS"] = str(why)
        for way, variables in ways:
            entrants += [entrant(f"{loop}, {count} {way}", loop, count, variables) for loop in loops for count in others]
        counts = {each.name: len(each.jobs) if each.loop != "ours" else int(each.name.split()[-1]) for each in entrants}
        found = contest(entrants, rounds=rounds, seconds=seconds, say=say, until=until)
    failed |= {name: entry["failed"] for name, entry in found.items() if "failed" in entry}
    segments = {name: entry["segments"] for name, entry in found.items() if "failed" not in entry}
    return {"summary": rows(segments, counts, f"{loops[0]}, {IN_TURN}"), "failed": failed, "segments": segments}


def rows(segments: dict[str, list[dict]], counts: dict[str, int], reference: str) -> dict[str, dict]:
    """By entrant: networks, images a second of all together, and how many times the reference's rate that is."""
    found = {}
    for name, each in segments.items():
        row = {
            "networks": counts[name],
            "images_per_second": statistics.median(map(steady, each)),
            "images_per_cpu_second": statistics.median(map(per_cpu_second, each)),
            "peak_bytes": max(segment["peak_bytes"] for segment in each),
        }
        if len(segments.get(reference, ())) == len(each):
            for clock, rate in (("wall", steady), ("cpu", per_cpu_second)):
                row[f"over_reference_{clock}"] = ratio([*map(rate, each)], [*map(rate, segments[reference])])
        found[name] = row
    return found
