"""Tables of networks at once and of the time to an accuracy, and the lines of what was sampled, in Markdown."""

import pandas as pd

WATCHED = {"sm_mhz": "SM clock, MHz", "memory_mhz": "memory clock, MHz", "watts": "power, W", "celsius": "temperature, °C"}
WATCHED |= {"busy_percent": "busy, %", "core_mhz": "clock of the cores, MHz", "load": "load"}


def spoken(found: dict | None) -> str:
    """A ratio with its interval, if there is one."""
    if not found:
        return ""
    return f"{found['ratio']:.2f}" + (f" [{found['low']:.2f}, {found['high']:.2f}]" if found["low"] is not None else "")


def packing(name: str, found: dict) -> str:
    """Networks at once: their rates together, and how many times the first row's."""
    table = [
        {
            "networks": loop,
            "images/s in all": f"{row['images_per_second']:,.0f}",
            "images/CPU s": f"{row['images_per_cpu_second']:,.0f}",
            "this / first row, wall": spoken(row.get("over_reference_wall")),
            "this / first row, CPU": spoken(row.get("over_reference_cpu")),
            "peak MiB": f"{row['peak_bytes'] / 2**20:,.0f}",
        }
        for loop, row in found["summary"].items()
    ]
    return _part(f"{name}: networks at once, {found['images']:,} images each ({found['data']})", table, found["failed"])


def race(name: str, found: dict) -> str:
    """The time of each loop to the error of the tuned one."""
    rows = found["summary"]
    table = [
        {
            "loop": loop,
            "seeds that reached it": row["reached"],
            "epochs": f"{row['epoch']:g}" if row["epoch"] is not None else "",
            "s": f"{row['seconds']:.1f}" if row["seconds"] is not None else "",
            "CPU s": f"{row['cpu_seconds']:.1f}" if row["cpu_seconds"] is not None else "",
            "this / ours": spoken(row["times_ours"]),
            "error at the end": f"{row['final_error']:.2%}",
        }
        for loop, row in rows.items()
    ]
    mark = f", to an error of {next(iter(rows.values()))['mark']:.2%}" if rows else ""
    return _part(f"{name}: time to an accuracy{mark}, {found['images']:,} images ({found['data']})", table, found["failed"])


def watched(samples: dict[str, dict]) -> str:
    """What was sampled while each part ran."""
    lines = []
    for part, found in samples.items():
        told = [_range(label, *found[name]) for name, label in WATCHED.items() if name in found]
        told = told or [f"nothing is known ({found.get('why')})"]
        lines.append(f"- {part}, {found['samples']} samples: {'; '.join(told)}")
    return "## Clocks and power\n\n" + "\n".join(lines) if lines else ""


def _range(label: str, least: float, middle: float, most: float) -> str:
    return f"{label} {least:,.0f} to {most:,.0f} (median {middle:,.0f})"


def _part(title: str, table: list[dict], failed: dict[str, str]) -> str:
    shown = pd.DataFrame(table).to_markdown(index=False, disable_numparse=True) if table else "nothing was measured"
    return "\n\n".join([f"## {title}", shown, *(f"{loop}: {why}" for loop, why in failed.items())])
