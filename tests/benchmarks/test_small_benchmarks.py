"""The benchmarks beside engine.py: each runs once, as small as it can be."""

from pathlib import Path

import pytest
from commands import script_here

REPOSITORY = Path(__file__).resolve().parents[2]
SMALLEST = {
    "augment.py": ["--batch", "2", "--size", "8", "--rounds", "1"],
    "streaming.py": ["--workers", "0", "--images", "64", "--size", "16", "--batch", "32", "--rounds", "1"],
}


@pytest.mark.parametrize("name", SMALLEST)
def test_it_runs(name):
    done = script_here(REPOSITORY, REPOSITORY / "benchmarks" / name, *SMALLEST[name])
    assert done.returncode == 0, done.stderr
    assert "images/s" in done.stdout
