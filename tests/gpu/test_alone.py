"""What runs on a bare machine with a GPU imports nothing but torch, numpy, pydantic, ruamel.yaml, pytest and ours."""

import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDERS = ("src", "benchmarks", "tests/gpu", "tests/support")
MODULES = ("test_gpu", "test_gpu_levels", "cases", "light.part", "light.machine", "light.steps", "light.pack")
MODULES += ("loops.ours", "loops.speedrun", "first_light")  # light.results needs Pillow and safetensors too


def test_nothing_else_is_imported():
    paths = os.pathsep.join(str(REPOSITORY / folder) for folder in FOLDERS)
    command = [sys.executable, "-W", "ignore", str(Path(__file__).with_name("alone.py")), *MODULES]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
