"""Kernels of our own give the numbers of torch's: shown on the CPU by Triton's interpreter, in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest


def test_kernels_give_the_numbers_of_torchs():
    triton = pytest.importorskip("triton")
    if np.lib.NumpyVersion(np.__version__) >= "2.4.0" and triton.__version__.startswith("3.6."):
        pytest.skip("the interpreter of Triton 3.6 does not run with numpy 2.4 or newer")
    file = Path(__file__).with_name("interpreted_kernels.py")
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-n", "0", "-p", "no:cacheprovider", str(file)]
    done = subprocess.run(command, env=os.environ | {"TRITON_INTERPRET": "1"}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
