"""Networks that share the GPU, beside other loops on the same network: ratios of rates that were measured in turn."""

import statistics
import tempfile
from pathlib import Path

from contest.compare import steady
from contest.entrant import Entrant
from contest.rounds import contest
from light.nets import model_of, sections, stored
from light.rows import Recorder
from loops.job import Job

OURS = "graph+compile"
OTHERS = ("speedrun", "speedrun-compiled", "speedrun-reduce-overhead")
COUNTS = (1, 4, 8, 16)
ROUNDS, SECONDS = 5, 1.0


def pack(say: Recorder) -> None:
    """One to sixteen of our networks, and one of each other loop: images a second, and ours over the fastest other's."""
    _measured(say, (1, 2) if say.dry else COUNTS, OTHERS[:1] if say.dry else OTHERS, {})


def queues(say: Recorder) -> None:
    """Eight networks with the driver's 8 hardware queues, in place of 32."""
    import os

    os.environ["CUDA_DEVICE_MAX_CONNECTIONS"] = "8"  # CUDA starts in processes that are made later
    _measured(say, (2,) if say.dry else (8,), (), {"queues": 8})


def _measured(say: Recorder, counts: tuple[int, ...], others: tuple[str, ...], more: dict) -> None:
    images, level = (256, "graph") if say.dry else (12_800, OURS)
    parts = sections(model=model_of("resnet20", dry=say.dry))
    with tempfile.TemporaryDirectory() as folder:
        data = stored(Path(folder) / "data", images, 100 if say.dry else 2_000)

        def job(seeds: int) -> Job:
            return Job(parts, data, "cuda", workers=0, seeds=tuple(range(seeds)), level=level)

        entrants = [Entrant(f"ours x{count}", "ours", job(count)) for count in counts]
        entrants += [Entrant(name, name, job(1)) for name in others]
        found = contest(entrants, rounds=1 if say.dry else ROUNDS, seconds=0.0 if say.dry else SECONDS, say=print)
    best = _fastest([name for name in others if found[name].get("segments")], found)
    for name, entry in found.items():
        say(loop=name, **more, **({"failed": entry["failed"]} if "failed" in entry else _row(name, entry, found.get(best))))


def _fastest(names: list[str], found: dict) -> str:
    rates = {name: statistics.median(map(steady, found[name]["segments"])) for name in names}
    return max(rates, key=rates.__getitem__, default="")


def _row(name: str, entry: dict, other: dict | None) -> dict:
    """Rates and memory; no interval, but the lowest and the highest of the rounds' ratios."""
    rates = [steady(segment) for segment in entry["segments"]]
    row = {
        "images_per_s": round(statistics.median(rates)),
        "first_epoch_s": round(entry["start"]["build_seconds"] + entry["start"]["first_epoch_seconds"], 1),
        "gib": round(max(segment["peak_bytes"] for segment in entry["segments"]) / 2**30, 2),
        "deterministic": name.startswith("ours"),
    }
    if other and len(other["segments"]) == len(rates):
        ratios = [rate / steady(segment) for rate, segment in zip(rates, other["segments"], strict=True)]
        row["over_the_fastest_other"] = [round(pick(ratios), 2) for pick in (statistics.median, min, max)]
    return row
