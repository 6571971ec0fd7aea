"""Equal image files, which make a test set easier than it looks: found by their checksums while the images are fetched."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from reslab.errors import shown

NAMED = 3  # pairs of each kind that are named
IN_BOTH, WITHIN, CLASSES = "in train and in test", "twice in one split", "in several classes"


@dataclass
class EqualFiles:
    """Groups of equal files among those that passed by."""

    first: dict[bytes, str] = field(default_factory=dict)  # checksum -> name
    groups: dict[bytes, list[str]] = field(default_factory=dict)

    def watched(self, files: Iterable[tuple[str, bytes]]) -> Iterator[tuple[str, bytes]]:
        """The same files, noted on their way."""
        for name, content in files:
            digest = hashlib.sha256(content).digest()[:16]
            if self.first.setdefault(digest, name) is not name:
                self.groups.setdefault(digest, [self.first[digest]]).append(name)
            yield name, content

    def facts(self, places: dict[str, tuple[str, str]]) -> dict[str, dict]:
        """Kind -> how many files are equal to another one, and some pairs, given each file's (split, class); for JSON."""
        found: dict[str, dict] = {}
        for names in sorted(map(sorted, self.groups.values())):
            test, train = ([name for name in names if places[name][0] == split] for split in ("test", "train"))
            for name in test if train else ():
                _note(found, IN_BOTH, name, train[0])
            for split in (train, test):
                for name in split[1:]:
                    _note(found, WITHIN, name, split[0])
            for name in names[1:]:
                if places[name][1] != places[names[0]][1]:
                    _note(found, CLASSES, name, names[0])
        return found


def _note(found: dict[str, dict], kind: str, name: str, other: str) -> None:
    said = found.setdefault(kind, {"count": 0, "some": []})
    said["count"] += 1
    if said["count"] <= NAMED:
        said["some"].append(f"{shown(name)} = {shown(other)}")


def lines(facts: dict[str, dict]) -> list[str]:
    """One line a kind of equal files."""
    return [
        f"equal files {kind}: {said['count']:,} ({', '.join(said['some'])}{', ...' if said['count'] > NAMED else ''})"
        for kind, said in facts.items()
    ]
