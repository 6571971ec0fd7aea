"""What a list of studies says of each, kept in the user's cache: reading seventy files of YAML takes a second."""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from reslab import cache, config
from reslab.config import library
from reslab.environment import user_cache

KEPT = "studies"


class Overview(NamedTuple):
    """A study in a list."""

    experiments: int
    published: int  # numbers
    title: str


def of(names: Iterable[str], folder: Path = library.FOLDER) -> dict[str, Overview]:
    """Name -> what is said of the study; a file is read once, until it changes. Raises UserError for a faulty one."""
    code = b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))
    shared = hashlib.sha256(code + library.content(library.DEFAULTS, folder))
    path = user_cache() / KEPT
    kept, found, read = cache.read(path), {}, {}
    for name in names:
        digest = shared.copy()
        digest.update(library.content(name, folder))
        key = f"{name} {digest.hexdigest()[:16]}"
        said = kept.get(key)
        if said is None:
            study = config.parse(library.compose(name, folder))
            said = read[key] = [len(study.experiments), len(study.report.published), study.report.title]
        found[name] = Overview(*said)
    if read:
        changed = {key.partition(" ")[0] for key in read}
        cache.write(path, {key: said for key, said in kept.items() if key.partition(" ")[0] not in changed} | read)
    return found
