"""What the shell may complete: names of studies, experiments, machines and network families."""

from pathlib import Path

from reslab import config, machines, studies
from reslab.errors import UserError


def study_names(incomplete: str) -> list[tuple[str, str]]:
    """The ready-made studies with their titles."""
    return [(name, studies.title(name)) for name in studies.names() if name.startswith(incomplete)]


def experiment_names(incomplete: str) -> list[str]:
    """The experiments of params.yaml; none while it cannot be read."""
    try:
        return [name for name in config.load(Path("params.yaml")).experiments if name.startswith(incomplete)]
    except UserError:
        return []


def machine_names(incomplete: str) -> list[str]:
    """The machines whose speed is on file."""
    return [name for name in machines.names() if name.startswith(incomplete)]


def model_names(incomplete: str) -> list[str]:
    """The network families; this one takes the seconds that torch takes to start."""
    from reslab.models import MODELS

    return [name for name in MODELS if name.startswith(incomplete)]
