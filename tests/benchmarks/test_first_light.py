"""benchmarks/first_light.py on the stand-in for CUDA: every part runs to its end and leaves rows; no number is compared."""

import io
import json
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

REPOSITORY = Path(__file__).resolve().parents[2]


def dry_run(out: Path, *options: str) -> list[dict]:
    """The rows of a dry run; skips the test where the stand-in cannot be built."""
    command = [sys.executable, "benchmarks/first_light.py", str(out), "--dry-run", *options]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if "the stand-in for CUDA cannot be built" in done.stderr:
        pytest.skip(done.stderr.strip())
    log = out / "log.txt"
    assert done.returncode == 0, done.stdout + log.read_text()[-3000:]
    return [json.loads(line) for line in (out / "first_light.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_first_light_measures_its_parts(tmp_path):
    rows = dry_run(tmp_path, "--parts", "facts,steps:resnet20,pack")
    assert {row["part"] for row in rows} == {"facts", "steps", "pack"}
    assert [set(row["watched"]) for row in rows if "watched" in row] == [{"samples", "why"}] * 3  # no nvidia-smi on the stand-in
    assert {row["loop"] for row in rows if row["part"] == "pack" and "loop" in row} == {"ours x1", "ours x2", "speedrun"}
    assert {row["level"] for row in rows if row["part"] == "steps" and "level" in row} == {"graph", "eager"}


@pytest.mark.exhaustive
def test_first_light_measures_all_its_parts(tmp_path):
    rows = dry_run(tmp_path, "--minutes", "30")
    assert {row["part"] for row in rows} == {"facts", "levels", "steps", "pack", "queues", "tests"}
    assert {row["wish"] for row in rows if row["part"] == "levels" and "wish" in row} == {"graph+compile", "graph"}


def jpegs(folder: Path) -> None:
    """A small archive in the form of the JPEG copy of CIFAR-10."""
    random = np.random.default_rng(0)
    with tarfile.open(folder / "cifar10-jpeg.tar.xz", "w:xz") as archive:
        for split, count in (("train", 24), ("test", 8)):
            for number in range(count):
                packed = io.BytesIO()
                Image.fromarray(random.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(packed, "JPEG")
                entry = tarfile.TarInfo(f"{split}/{'cat' if number % 2 else 'dog'}/{number:04}.jpg")
                entry.size = len(packed.getvalue())
                archive.addfile(entry, io.BytesIO(packed.getvalue()))


@pytest.mark.slow
def test_first_light_trains_networks_of_two_experiments_at_once_and_only_once(tmp_path):
    jpegs(tmp_path)
    rows = dry_run(tmp_path / "out", "--results", str(tmp_path))
    trained = [row for row in rows if "seed" in row]
    assert len(trained) == 10
    assert {row["experiment"] for row in trained} == {"resnet020-plain-tau", "resnet020-own-tau"}
    assert {row["engine"]["level"] for row in trained} == {"graph"}
    again = dry_run(tmp_path / "out", "--results", str(tmp_path))[len(rows) :]
    assert [row["already_finished"] for row in again if "already_finished" in row] == [10]
    assert [row for row in again if "seed" in row] == []
