"""Import what a bare machine with a GPU runs, where nothing can be imported but torch, numpy, pydantic, ruamel.yaml and ours.

`alone.py MODULE...` with the folders of the modules on PYTHONPATH. pytest may be there too.
"""

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from re import match

THERE = ("torch", "numpy", "pydantic", "ruamel.yaml", "pytest")


def needed(names: Sequence[str]) -> set[str]:
    """Distributions and all that they need, without their extras, in lower case."""
    found, waiting = set(), list(names)
    while waiting:
        name = waiting.pop().lower().replace("_", "-")
        if name in found:
            continue
        found.add(name)
        try:
            lines = requires(name) or []
        except PackageNotFoundError:
            continue
        waiting += [match(r"[\w.-]+", line)[0] for line in lines if "extra ==" not in line]
    return found


class Refuser:
    """An importer that finds nothing else that is installed."""

    def __init__(self) -> None:
        there = needed(THERE)
        owners = packages_distributions()
        self.refused = {top for top, names in owners.items() if not any(name.lower().replace("_", "-") in there for name in names)}
        self.refused -= {"reslab"}

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """Refuse a module, or leave it to the others."""
        if name.partition(".")[0] in self.refused:
            raise ModuleNotFoundError(f"{name} is not on a bare machine", name=name)
        return None


if __name__ == "__main__":
    sys.meta_path.insert(0, Refuser())
    for module in sys.argv[1:]:
        import_module(module)
