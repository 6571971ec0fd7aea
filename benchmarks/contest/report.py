"""Results as files: everything as JSON, one row a loop as CSV and Markdown, two plots."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from contest import plots, tables
from contest.compare import CONFIDENCE, EPOCH_IMAGES, EPOCH_TESTS, LEAST_ROUNDS, per_cpu_second, ratio, steady
from contest.plan import AGAIN
from reslab.errors import UserError, first_line
from reslab.runs.records import read_record, write_record
from reslab.storage import replace_text, replacing

RESULTS = "results.json"
MEND = "take it from git, or delete it to measure everything anew"

HEADER = {
    "loop": "loop",
    "images_per_second": "images/s",
    "images_per_cpu_second": "images/CPU s",
    "cpu": "ours / this, CPU",
    "wall": "ours / this, wall",
    "seconds_per_epoch": "s/epoch",
    "first_epoch_seconds": "first epoch s",
    "peak_mib": "peak MiB",
    "flops": "GFLOP/s*",
    "guard": "guard",
    "repeats": "repeats",
}
METHOD = f"""\
Medians over interleaved rounds. A ratio is the median of the rounds' ratios with its {CONFIDENCE:.0%} bootstrap interval; above 1
the reference, the first row, is faster. The row that says again is the reference a second time: what is no farther from 1 is noise.
No interval from fewer than {LEAST_ROUNDS} rounds. s/epoch: {EPOCH_IMAGES:,} images and {EPOCH_TESTS:,} evaluated, from the
measured rates. first epoch s: from an imported torch to the end of the first epoch, with building, compiling and recording, for all
alike. CPU seconds include workers; peak memory is the training process's alone. repeats: whether two processes that trained an
epoch on digits from the same seed ended in the same bits. * by wall clock on a GPU, by CPU seconds on a CPU, as the ceilings."""


def load(folder: Path) -> dict:
    """What an earlier run left there, to be added to; nothing if there is none.

    Raises UserError if it is damaged, or if this version cannot show it, before hours go into what is added.
    """
    path = folder / RESULTS
    if not path.exists():
        return {}
    found = read_record(path, mend=MEND)
    try:
        with TemporaryDirectory() as other:
            write(found, Path(other))
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise UserError(f"{path}: not what this version writes ({first_line(error)}); {MEND}") from None
    return found


def write(results: dict, folder: Path) -> None:
    """Write all files; what was found before stays if that fails."""
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / RESULTS) as draft:
        write_record(draft, results)
    rows = list(loop_rows(results))
    pd.DataFrame(rows).to_csv(folder / "loops.csv", index=False, float_format="%.5g")
    pd.DataFrame(sweep_rows(results)).to_csv(folder / "scaling.csv", index=False, float_format="%.5g")
    replace_text(folder / "report.md", markdown(results, rows))
    plots.roofline(results, folder / "roofline.svg")
    plots.scaling(results, folder / "scaling.svg")


def loop_rows(results: dict) -> Iterator[dict]:
    """One row a case and loop."""
    for case, found in results.get("cases", {}).items():
        precision = found["sections"]["train"].get("precision", "float32")
        for loop, row in found["summary"].items():
            yield {
                "case": case,
                "precision": precision,
                **{"loop": loop, "rounds": row["rounds"], "images_per_second": row["images_per_second"]},
                **{key: row[key] for key in ("slowest", "fastest", "images_per_cpu_second", "seconds_per_epoch")},
                **{key: row[key] for key in ("first_epoch_seconds", "build_seconds", "evaluation_seconds", "epochs_per_segment")},
                **{
                    f"{clock}_{key}": value if key == "ratio" or row["rounds"] >= LEAST_ROUNDS else None  # older results have some
                    for clock in ("cpu", "wall")
                    for key, value in row.get(f"ours_over_this_{clock}", {}).items()
                },
                "peak_bytes": row["peak_bytes"],
                **{f"reached_{key}": value for key, value in row["reached"].items()},
                "guard": guard_verdict(results, precision, loop),
                "repeats": whether_it_repeats(results, precision, loop),
            }


def guard_verdict(results: dict, precision: str, loop: str) -> str:
    """The loop's error in the short training in percent, and MISSED if it is not where the others are."""
    entry = results.get("guard", {}).get("guard", {}).get(precision, {}).get(loop.removesuffix(AGAIN))
    if entry is None:
        return "not checked"
    if "failed" in entry:
        return "FAILED"
    return f"{entry['error']:.1%}" + ("" if entry["kept"] else " MISSED")


def whether_it_repeats(results: dict, precision: str, loop: str) -> str:
    """What was found of the loop's bits."""
    entry = results.get("guard", {}).get("guard", {}).get(precision, {}).get(loop.removesuffix(AGAIN), {})
    return {True: "yes", False: "no", None: "not checked"}[entry.get("repeats")]


def sweep_rows(results: dict) -> list[dict]:
    """One row a sweep and point."""
    return [
        {"sweep": name, "point": float(point), **row}
        for name, found in results.get("sweeps", {}).items()
        for point, row in found.items()
    ]


def markdown(results: dict, rows: list[dict]) -> str:
    """The tables, with what must be quoted with them."""
    where = results["machine"]
    written = [
        f"Measured {where['measured']} on {where['device']}, {where['cores']} cores, {where['threads']} thread(s) a process, "
        f"load {where['load'][0]}, torch {where['torch']}, {where['platform']}, commit {(where['commit'] or 'unknown')[:10]}"
        f"{' with changes' if where['dirty'] else ''}.",
        f"`{results['command']}`" if "command" in results else "",
        METHOD,
    ]
    written += [tables.packing(name, found) for name, found in results.get("packings", {}).items()]
    for case, found in results.get("cases", {}).items():
        limits = found["ceilings"]
        written.append(f"## {case}: {found['images']:,} images ({found['data']})")
        written.append(_table([row for row in rows if row["case"] == case]))
        written.append(
            f"Ceilings: {limits['flops'] / 1e9:,.0f} GFLOP/s (matrix product), {limits['bytes'] / 1e9:,.1f} GB/s (copy)."
        )
        written += [_levels(found)]
        written += [f"{name} failed: {why}" for name, why in found["failed"].items()]
    written += [tables.race(name, found) for name, found in results.get("races", {}).items()]
    written += [f"## Guard, {precision}\n\n{_guard_line(found)}" for precision, found in _guards(results)]
    written += ["## Scaling of the reference, images/s by wall clock\n\n" + _sweeps(results)] if results.get("sweeps") else []
    written += [tables.watched(results.get("watched", {}))]
    written += [f"Not reached in the time given: {', '.join(results['not_reached'])}"] if results["not_reached"] else []
    return "\n\n".join(part for part in written if part) + "\n"


def _guards(results: dict) -> list[tuple[str, dict]]:
    return [(name, found) for name, found in results.get("guard", {}).get("guard", {}).items() if found]


def _guard_line(found: dict) -> str:
    judged = [entry for entry in found.values() if "bound" in entry]
    if not judged:
        return "every loop failed"
    text = f"Test error on digits after the short training: median {judged[0]['median']:.1%}, bound ±{judged[0]['bound']:.1%}."
    return text + " " + ", ".join(f"{name} {entry['error']:.2%}" for name, entry in found.items() if "bound" in entry)


def _table(rows: list[dict]) -> str:
    shown = [
        {
            "loop": row["loop"],
            "images_per_second": f"{row['images_per_second']:,.0f}",
            "images_per_cpu_second": f"{row['images_per_cpu_second']:,.0f}",
            "cpu": _ratio(row, "cpu"),
            "wall": _ratio(row, "wall"),
            "seconds_per_epoch": f"{row['seconds_per_epoch']:.3g}",
            "first_epoch_seconds": _first_epoch(row),
            "peak_mib": f"{row['peak_bytes'] / 2**20:,.0f}" if row["peak_bytes"] else "",
            "flops": f"{row['reached_flops'] / 1e9:,.0f}",
            "guard": row["guard"],
            "repeats": row["repeats"],
        }
        for row in rows
    ]
    return (
        pd.DataFrame(shown).rename(columns=HEADER).to_markdown(index=False, disable_numparse=True) if shown else "every loop failed"
    )


def _levels(found: dict) -> str:
    """What our other levels are to each loop, by CPU seconds and by wall clock."""
    ours, *rest = [name for name in found["segments"] if name.startswith("ours-") and not name.endswith(AGAIN)] or [""]
    lines = []
    for level in rest:
        for other in [name for name in found["segments"] if not name.startswith("ours-") or name == ours]:
            for clock, rate in (("CPU", per_cpu_second), ("wall", steady)):
                both = [[rate(segment) for segment in found["segments"][name]] for name in (level, other)]
                if len(both[0]) == len(both[1]):
                    lines.append({"ratio": f"{level} / {other}, {clock}", "": tables.spoken(ratio(*both))})
    return pd.DataFrame(lines).to_markdown(index=False, disable_numparse=True) if lines else ""


def _first_epoch(row: dict) -> str:
    """Building, and the epoch in which what is made once is made."""
    return "" if row["first_epoch_seconds"] is None else f"{row['build_seconds'] + row['first_epoch_seconds']:.1f}"


def _ratio(row: dict, clock: str) -> str:
    if f"{clock}_ratio" not in row:
        return ""
    return tables.spoken({key: row[f"{clock}_{key}"] for key in ("ratio", "low", "high")})


def _sweeps(results: dict) -> str:
    table = pd.DataFrame(
        [
            {"sweep": row["sweep"], "point": f"{row['point']:g}", "images/s": f"{row['images_per_second']:,.0f}"}
            | {"images/CPU s": f"{row['images_per_cpu_second']:,.0f}", "peak MiB": f"{row['peak_bytes'] / 2**20:,.0f}"}
            | {"GFLOP/s": f"{row['images_per_second'] * row['flops'] / 1e9:,.0f}"}
            for row in sweep_rows(results)
            if "images_per_second" in row
        ]
    )
    return table.to_markdown(index=False, disable_numparse=True)
