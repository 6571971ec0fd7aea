"""Portable numerics: the bytes that other processors gave, and what they refuse."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from reslab.errors import UserError
from reslab.runs.environments import differing
from reslab.runs.ranks import ALONE
from reslab.training.execution import numerics
from reslab.training.execution.levels import RunSize, _levels

SUPPORT = Path(__file__).parents[1] / "support"
LONG_RUN = RunSize(multiply_adds=10**9, convolutions=20, images=10**7, steps=10**5)  # worth compiling


def test_every_family_gives_the_bytes_that_other_processors_gave():
    expected = json.loads(Path(__file__).with_name("portable.json").read_text())
    path = os.pathsep.join([*sys.path, str(SUPPORT)])
    command = [sys.executable, str(SUPPORT / "portable.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": path})
    assert not done.returncode, done.stderr
    found = json.loads(done.stdout)
    if found["numerics"] != numerics.PORTABLE:
        pytest.skip(f"numerics are not portable here: {numerics.NEEDED}")
    if found["torch"] != expected["torch"]:
        pytest.skip(f"the hashes are those of torch {expected['torch']}")
    assert found["hashes"] == expected["hashes"]
    assert found["scored"] == expected["scored"]


@pytest.fixture
def pinned(monkeypatch):
    """A process whose libraries are pinned."""
    for name, value in numerics.PINNED.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr("platform.system", lambda: "Linux")


def test_compiled_code_is_made_for_one_processor_and_is_refused(pinned):
    levels, refused = _levels(torch.device("cpu"), LONG_RUN, ALONE)
    assert levels == ("eager",)
    assert refused["compile"] == "numerics are portable, and compiled code is made for one processor"


def test_a_record_says_portable_only_where_that_holds(pinned, monkeypatch):
    assert numerics.in_force("cpu", "AVX2") == "portable"
    assert numerics.in_force("cuda", "AVX2") == "native"
    assert numerics.in_force("cpu", "DEFAULT") == "native"  # a processor without AVX2
    assert numerics.in_force("cpu", "AVX512") == "native"  # torch had chosen before
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    assert numerics.in_force("cpu", "AVX2") == "native"
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.delenv("MKL_CBWR")
    assert numerics.in_force("cpu", "AVX2") == "native"


def test_the_environment_goes_before_the_study(monkeypatch):
    assert numerics.chosen("portable") == "portable"
    monkeypatch.setenv("RESLAB_NUMERICS", "native")
    assert numerics.chosen("portable") == "native"
    monkeypatch.setenv("RESLAB_NUMERICS", "exact")
    with pytest.raises(UserError, match="RESLAB_NUMERICS=exact is not allowed; allowed: native, portable"):
        numerics.chosen("native")


def test_native_numerics_leave_a_users_own_settings(monkeypatch):
    monkeypatch.setenv("MKL_CBWR", "AVX2")
    numerics.pin("native")
    assert os.environ["MKL_CBWR"] == "AVX2"


def test_records_from_before_are_native():
    older, portable = {"device": "a"}, {"device": "a", "numerics": "portable"}
    assert differing([older, portable]) == ["numerics"]
    assert differing([older, {"device": "a", "numerics": "native"}]) == []
