"""What a list of studies says of each, kept in the user's cache: reading seventy files of YAML takes a second."""

import hashlib
import json
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from reslab import config
from reslab.config import library
from reslab.environment import user_cache
from reslab.storage import replace_text

KEPT = "studies.json"


class Overview(NamedTuple):
    """A study in a list."""

    experiments: int
    published: int  # numbers
    title: str


def of(names: Iterable[str], folder: Path = library.FOLDER) -> dict[str, Overview]:
    """Name -> what is said of the study; a file is read once, until it changes. Raises UserError for a faulty one."""
    code = b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))
    shared = hashlib.sha256(code + library.content(library.DEFAULTS, folder))
    kept, found, read = _kept(), {}, {}
    for name in names:
        digest = shared.copy()
        digest.update(library.content(name, folder))
        key = f"{name} {digest.hexdigest()[:16]}"
        said = kept.get(key)
        if not (isinstance(said, list) and list(map(type, said)) == [int, int, str]):
            study = config.parse(library.compose(name, folder))
            said = read[key] = [len(study.experiments), len(study.report.published), study.report.title]
        found[name] = Overview(*said)
    if read:
        _keep(
            {key: said for key, said in kept.items() if key.partition(" ")[0] not in {new.partition(" ")[0] for new in read}} | read
        )
    return found


def _kept() -> dict[str, list]:
    try:
        known = json.loads((user_cache() / KEPT).read_text(encoding="utf-8"))
    except (OSError, ValueError):  # none yet, or damaged
        return {}
    return known if isinstance(known, dict) else {}


def _keep(known: dict[str, list]) -> None:
    """Keep what was read, if the cache can be written; of two processes the last one wins."""
    path = user_cache() / KEPT
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_text(path, json.dumps(known))
