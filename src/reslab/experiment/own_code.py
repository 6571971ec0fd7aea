"""What stands for one's own code in the description of an experiment: a checksum of what its sources do, or a library's version."""

from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from reslab.config import plugins
from reslab.errors import UserError
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


def check_as_described(description: Mapping) -> None:
    """Raise UserError if code of one's own is another by now than when an experiment was described: its identity would lie."""
    for name, told in (description.get(KEY) or {}).items():
        if name.partition(":")[0] not in PEERS and checksums_of([name])[name] != told:  # DVC does not follow a library's version
            raise UserError(f"the code of {name} was changed after the experiment was described; run `dvc repro` again")


def changed(description: Mapping) -> list[str]:
    """The names in a description, of those that are there, whose code is another by now."""
    known = description.get(KEY)
    model = description["config"]["model"]["name"]
    if not isinstance(known, dict) or model not in known or checksums_of([model])[model] == known[model]:
        return []
    return [model]
