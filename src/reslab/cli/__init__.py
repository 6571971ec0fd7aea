"""The `reslab` command."""

import subprocess
import sys

from reslab.cli.app import app
from reslab.errors import guard

__all__ = ["app", "main"]


def main() -> None:
    """Run the command with one-line errors."""
    try:
        guard(app)
    except subprocess.CalledProcessError as error:
        print(f"error: {' '.join(error.cmd[:4])} failed with status {error.returncode}; its own message is above", file=sys.stderr)
        sys.exit(1)
