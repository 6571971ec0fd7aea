"""Commands load what they need and nothing else: torch takes seconds."""

import subprocess
import sys

import pytest

SCRIPT = """
import sys
from reslab.cli import app
try:
    app(sys.argv[1:])
except SystemExit:
    pass
print("loaded:", *{"torch", "mlflow", "scipy", "pandas", "matplotlib", "torch._dynamo"} & set(sys.modules), file=sys.stderr)
"""


def loaded(folder, *arguments: str) -> set[str]:
    done = subprocess.run([sys.executable, "-c", SCRIPT, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    last = done.stderr.splitlines()[-1]
    assert last.startswith("loaded:"), done.stderr
    return set(last.split()[1:])


def test_help_loads_nothing_heavy(repository):
    assert loaded(repository, "--help") == set()


@pytest.mark.parametrize(
    "arguments",
    [
        ("studies",),
        ("report",),
        ("keep", "--help"),
        ("readme", "--help"),
        ("show", "wilber-gamma", "--machine", "intel-xeon-1-thread"),
        ("estimate", "digits-tau", "--machine", "intel-xeon-1-thread"),
    ],
    ids=" ".join,
)
def test_commands_that_build_no_network_do_not_load_torch(repository, arguments, tmp_path, monkeypatch):
    """show and estimate count networks once, and keep what they counted."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    loaded(repository, *arguments)
    assert not loaded(repository, *arguments) & {"torch", "mlflow", "matplotlib"}
