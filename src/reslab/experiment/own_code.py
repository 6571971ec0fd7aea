"""What stands for one's own code in the description of an experiment: a checksum of what its sources do, or a library's version."""

from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from reslab.config import plugins
from reslab.models.peers import PEERS
from reslab.runs.identity import behaviour

KEY = "plugins"  # of a description


def checksums_of(names: Iterable[str]) -> dict[str, str]:
    """Name -> checksum of the code behind it."""
    return {name: checksum_of(name, str(plugins.FOLDER.resolve())) for name in names}


@cache
def checksum_of(name: str, folder: str) -> str:
    """The checksum of the sources of a `module:function`, plugins in `folder`; the version of timm or torchvision."""
    library = name.partition(":")[0]
    if library in PEERS:
        try:
            return f"{library} {version(library)}"
        except PackageNotFoundError:
            return library
    return behaviour(plugins.sources(name, "name"))


def changed(description: Mapping) -> list[str]:
    """The names in a description, of those that are there, whose code is another by now."""
    known = description.get(KEY)
    model = description["config"]["model"]["name"]
    if not isinstance(known, dict) or model not in known or checksums_of([model])[model] == known[model]:
        return []
    return [model]
