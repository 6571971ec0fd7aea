"""The `reslab` command."""

import subprocess
import sys

from reslab.cli import (
    augmentations,
    compare,
    cost,
    docs,
    imports,
    models,
    profile,
    project,
    release,
    results,
    schedule,
    studies,
    tracking,
    train,
    verify,
    weights,
)
from reslab.cli.app import PANELS, app
from reslab.errors import guard

__all__ = [
    "app",
    "augmentations",
    "compare",
    "cost",
    "docs",
    "imports",
    "main",
    "models",
    "profile",
    "project",
    "release",
    "results",
    "schedule",
    "studies",
    "tracking",
    "train",
    "verify",
    "weights",
]

app.registered_commands.sort(key=lambda command: PANELS.index(command.rich_help_panel))


def main() -> None:
    """Run the command with one-line errors."""
    try:
        guard(app)
    except subprocess.CalledProcessError as error:
        print(f"error: {' '.join(error.cmd[:4])} failed with status {error.returncode}; its own message is above", file=sys.stderr)
        sys.exit(1)
