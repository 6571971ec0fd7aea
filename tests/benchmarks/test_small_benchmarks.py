"""The benchmarks beside engine.py: each runs once, as small as it can be."""

import sys
from pathlib import Path

import pytest
from commands import script_here
from project import call, free_port

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


def test_light_commands_are_measured_beside_a_bare_python():
    done = script_here(REPOSITORY, REPOSITORY / "benchmarks" / "startup.py", "--commands", "--rounds", "1")
    rows = {line[:23].strip(): line[23:].split() for line in done.stdout.splitlines()[2:]}
    assert set(rows) > {"python -c pass", "--help", "studies"}
    assert rows["python -c pass"][1] == "1"
    assert all(float(seconds) > 0 for seconds, _ in rows.values())


@pytest.mark.slow
def test_a_network_of_two_processes_is_measured_beside_its_model(project):
    script = REPOSITORY / "benchmarks" / "scale.py"
    smallest = ["--network", "resnet20*", "--steps", "1", "--rounds", "1", "--port", str(free_port())]
    shown = call(project, "env", f"PYTHONPATH={REPOSITORY / 'src'}", sys.executable, str(script), *smallest).stdout
    for layout in ("1 process", "2 processes", "2 nodes"):
        (row,) = [line.split() for line in shown.splitlines() if line.startswith(f"resnet20, batch norm          {layout}")]
        assert float(row[-1]) > 0
