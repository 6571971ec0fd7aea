"""First light: what only a GPU can tell, learned in ten minutes on a bare machine with one.

`python3 benchmarks/first_light.py OUT` measures, the most important first; each row is in OUT/first_light.jsonl as soon as it is
known. `--results DATA` trains real networks in the time that is left; run it again and it goes on. `--dry-run` runs every part,
small, on the stand-in for CUDA: it shows that nothing breaks, and no number. docs/benchmarks.md says what a machine must have.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PARTS = {  # seconds at most, in this order
    "facts": 40,
    "levels": 90,
    "steps:resnet20": 120,
    "pack": 150,
    "queues": 60,
    "steps:resnet110": 120,
    "steps:wrn": 100,
    "tests": 120,
}
LEAST = 20  # seconds: no part begins with less
OUT = "the folder for first_light.jsonl, log.txt and pytest.txt; %(default)s if none is named"
TO_STOP = 20  # seconds that a part has to write its checkpoints when its time is over


def main() -> int:
    """Run the parts that there is time for; 1 if a dry run found something broken."""
    given = arguments()
    out = given.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    began, environment = time.monotonic(), surroundings(given, out)
    parts = [f"results:{given.results.resolve()}"] if given.results else given.parts.split(",")
    codes, rows = {}, out / "first_light.jsonl"
    for part in parts:
        left = 60 * given.minutes - (time.monotonic() - began)
        if left < LEAST:
            print(f"not reached: {part}", flush=True)
            continue
        print(f"[{time.monotonic() - began:5.0f} s] {part}", flush=True)
        already = rows.stat().st_size if rows.exists() else 0
        limit = left - TO_STOP / 2 if given.results or given.dry_run else min(PARTS[part], left)
        codes[part] = limited(part, out, environment, limit)
        print(f"    {codes[part]}", flush=True)
        show(rows, already)
    whole = all(code == "ended with 0" for code in codes.values()) and len(codes) == len(parts)
    return int(given.dry_run and not whole)


def arguments() -> argparse.Namespace:
    """What the command line says; ends the program if it makes no sense."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, nargs="?", default=Path("build/first_light"), help=OUT)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--parts", default=",".join(PARTS), help="some of: %(default)s")
    parser.add_argument("--results", type=Path, metavar="DATA", help="train networks on the images in DATA in place of measuring")
    parser.add_argument("--wheels", type=Path, help="a folder of wheels to use, installed nowhere")
    parser.add_argument("--dry-run", action="store_true", help="small, on the stand-in for CUDA")
    given = parser.parse_args()
    if wrong := [part for part in given.parts.split(",") if part not in PARTS]:
        parser.error(f"no such part: {', '.join(wrong)}")
    return given


def surroundings(given: argparse.Namespace, out: Path) -> dict[str, str]:
    """The environment of the parts: our sources, the wheels that were brought along, and the stand-in in a dry run."""
    paths = [str(ROOT / folder) for folder in ("src", "benchmarks", "tests/gpu", "tests/support")]
    if given.wheels:
        target, wheels = tempfile.mkdtemp(), map(str, sorted(given.wheels.glob("*.whl")))
        options = ["--no-index", "--no-deps", "--no-compile", "--no-cache-dir", "--target", target]
        subprocess.run([sys.executable, "-m", "pip", "install", "-q", *options, *wheels], check=True)
        paths.insert(0, target)
    paths += filter(None, [os.environ.get("PYTHONPATH")])
    found = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}
    found.setdefault("CUDA_DEVICE_MAX_CONNECTIONS", "32")
    if given.dry_run:
        sys.path.insert(0, str(ROOT / "tests" / "gpu"))
        from standin.build import Unavailable, build

        try:
            found |= build(out / "standin") | {"LIGHT_DRY": "1"}
        except Unavailable as why:
            sys.exit(f"error: the stand-in for CUDA cannot be built: {why}")
    return found


def limited(part: str, out: Path, environment: dict[str, str], seconds: float) -> str:
    """Run a part in a process of its own, with whatever it starts; when its time is over it is told to stop, then ended."""
    command = [sys.executable, "-W", "ignore", "-m", "light.part", part, str(out)]
    with (out / "log.txt").open("a") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, start_new_session=True, env=environment)
        try:
            return f"ended with {process.wait(seconds)}"
        except subprocess.TimeoutExpired:
            process.terminate()
        try:
            process.wait(TO_STOP)
        except subprocess.TimeoutExpired:
            pass
        finally:
            end_group(process)
    return "stopped at its limit"


def end_group(process: subprocess.Popen) -> None:
    """End a part and all that it started: the group that `limited` made."""
    try:
        os.killpg(process.pid, 9)
    except ProcessLookupError:
        return
    process.wait()


def show(rows: Path, already: int) -> None:
    """Print the rows that were written since the file had a length of `already` bytes."""
    for line in rows.read_bytes()[already:].decode(errors="replace").splitlines() if rows.exists() else []:
        try:
            print("    ", *(f"{key}={value}" for key, value in json.loads(line).items() if key != "part"), flush=True)
        except (ValueError, AttributeError):  # the part was ended while it wrote, or the disk is full
            print(f"     not a whole row: {line[:80]}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
