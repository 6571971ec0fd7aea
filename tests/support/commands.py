"""The commands: as processes of their own, and in this one, which saves the seconds that importing torch takes."""

import contextlib
import io
import os
import runpy
import subprocess
import sys
from pathlib import Path
from unittest import mock

import loaded
import torch
from project import REPOSITORY
from typer.testing import CliRunner

from reslab.cli import app

Done = subprocess.CompletedProcess

# A tracking server that is not there: saves the seconds that loading MLflow takes, where nothing looks at what is logged.
NO_MLFLOW = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}


def reslab(*arguments: str) -> str:
    """What a `reslab` command prints, run in this process; errors are raised."""
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def stage(folder: Path, script: str, *arguments: str, **environment: str) -> Done:
    """A stage's script as a process that has its libraries, in a folder that is the project's root."""
    command = [loaded.tools() / "python", REPOSITORY / "stages" / script, *arguments]
    settings = os.environ | {"PYTHONPATH": str(REPOSITORY / "src")} | environment
    return subprocess.run(command, cwd=folder, env=settings, capture_output=True, text=True, check=False)


def stage_here(folder: Path, script: str, *arguments: str, **environment: str) -> Done:
    """The same script in this process; not for training, whose workers would not find the script."""
    return script_here(folder, REPOSITORY / "stages" / script, *arguments, **environment)


def script_here(folder: Path, script: Path, *arguments: str, **environment: str) -> Done:
    """Any script of the project in this process."""
    command, status = [str(script), *arguments], 0
    out, err = io.StringIO(), io.StringIO()
    settings = (mock.patch.dict(os.environ, environment), mock.patch.object(sys, "argv", command), contextlib.chdir(folder))
    with contextlib.ExitStack() as stack:
        stack.callback(torch.use_deterministic_algorithms, torch.are_deterministic_algorithms_enabled())
        for setting in (*settings, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err)):
            stack.enter_context(setting)
        try:
            runpy.run_path(command[0], run_name="__main__")
        except SystemExit as ended:
            status = ended.code or 0
    return Done(command, status, out.getvalue(), err.getvalue())
