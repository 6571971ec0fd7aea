"""Commands load what they need and nothing else: torch takes seconds."""

import ast
import importlib
import inspect
import os
import subprocess
import sys

import pytest
import typer

from reslab.cli import app
from reslab.cli.commands import listed, module_of
from reslab.environment import may_have_gpu

HEAVY = {"torch", "mlflow", "numpy", "scipy", "pandas", "matplotlib", "torch._dynamo"}
SETTINGS = {"pydantic", "ruamel.yaml", "tabulate", "reslab.config"}
SCRIPT = """
import sys
from reslab.cli import app
try:
    app(sys.argv[1:], prog_name="reslab")
except SystemExit:
    pass
print("loaded:", *sys.modules, file=sys.stderr)
"""


def loaded(folder, *arguments: str, **environment: str) -> set[str]:
    command, settings = [sys.executable, "-c", SCRIPT, *arguments], os.environ | environment
    done = subprocess.run(command, cwd=folder, env=settings, capture_output=True, text=True, check=True)
    last = done.stderr.splitlines()[-1]
    assert last.startswith("loaded:"), done.stderr
    return set(last.split()[1:]) & (HEAVY | SETTINGS)


def test_help_loads_no_command(repository):
    assert loaded(repository, "--help") == set()


def completed(words: str, at: int) -> dict[str, str]:
    return {"_RESLAB_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(at)}


def test_a_shell_completes_without_what_it_does_not_need(repository):
    assert loaded(repository, **completed("reslab st", 1)) <= {"pydantic"}  # Typer loads it
    assert loaded(repository, **completed("reslab show digits", 2)) & HEAVY == set()


def test_the_sources_tell_of_the_same_commands_as_the_modules(repository):
    """Lists of commands are made from the sources; each command itself from its module."""
    group = typer.main.get_command(app)
    registered = {}
    for path in [*(repository / "src/reslab/cli").glob("*.py"), repository / "src/reslab/cli/docs/__init__.py"]:
        importlib.import_module(".".join(path.relative_to(repository / "src").with_suffix("").parts).removesuffix(".__init__"))
    for info in app.registered_commands:
        registered[info.name or info.callback.__name__.replace("_", "-")] = (info.callback.__doc__, info.rich_help_panel)
    assert set(group.commands) == set(registered)
    for name, command in group.commands.items():
        assert (inspect.cleandoc(registered[name][0]), registered[name][1]) == (listed()[name].help, listed()[name].panel)
        assert command.name == name


@pytest.mark.parametrize(
    "arguments",
    [
        ("studies",),
        ("report",),
        ("keep", "--help"),
        ("readme", "--help"),
    ],
    ids=" ".join,
)
def test_commands_that_build_no_network_do_not_load_torch(repository, arguments):
    assert not loaded(repository, *arguments) & {"torch", "mlflow", "matplotlib"}


def test_show_and_estimate_count_networks_once_and_keep_what_they_counted(repository, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    about = ("digits-tau", "--machine", "intel-xeon-1-thread")
    assert "torch" in loaded(repository, "show", *about)
    for command in ("show", "estimate"):
        assert not loaded(repository, command, *about) & HEAVY, command


def test_a_command_waits_for_no_other_source_and_no_other_program(monkeypatch):
    """Parsing all sources, and a linker that is asked for a GPU's library, took a third of a short command."""
    parsed, parse = [], ast.parse
    monkeypatch.setattr(ast, "parse", lambda source: parsed.append(source) or parse(source))
    assert (module_of("show"), module_of("import-weights"), module_of("nothing")) == ("studies", "imports", None)
    assert len(parsed) < 8
    monkeypatch.delenv("RESLAB_DEVICE", raising=False)
    monkeypatch.setattr(subprocess, "Popen", None)
    monkeypatch.setattr(os, "posix_spawn", None)
    assert may_have_gpu() in (False, True)
