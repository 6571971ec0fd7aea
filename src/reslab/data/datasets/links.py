"""Following links, in folders and archives by one rule: once, and never out of the source."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from reslab.data.datasets.entries import Entry, is_hidden
from reslab.errors import UserError, shown

MAX_LINKED_FILES = 100_000  # that come in through links, in a source with fewer plain files
REMEDY = "put the files themselves there"


@dataclass
class Tree:
    """A source with its links followed: name -> number of the entry with the content, the folders, and what could not be used."""

    files: dict[str, int] = field(default_factory=dict)
    folders: set[str] = field(default_factory=set)
    broken: list[str] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)  # of equal names the last holds, as where an archive is unpacked
    elsewhere: list[str] = field(default_factory=list)  # links out of the source to files that are no images


def follow(entries: Sequence[Entry]) -> Tree:
    """The tree of a source's entries. Raises UserError for a link out of it, to another link, or to a folder around itself."""
    tree, links = Tree(), {}
    for number, entry in enumerate(entries):
        if entry.kind == "folder":
            tree.folders.add(entry.name)
            continue
        if entry.name in tree.files or entry.name in links:
            tree.repeated.append(entry.name)
            tree.files.pop(entry.name, None)
            links.pop(entry.name, None)
        if entry.kind == "link":
            links[entry.name] = entry
        else:
            tree.files[entry.name] = number
    if links:
        _follow(tree, {name: link for name, link in links.items() if not is_hidden(name)})
    return tree


def _follow(tree: Tree, links: dict[str, Entry]) -> None:
    plain, folders, linked = sorted(tree.files), sorted(tree.folders), sorted(links)
    found: dict[str, int] = {}
    most = max(len(plain), MAX_LINKED_FILES)
    for name, link in links.items():
        if not _usable(tree, name, link):
            continue
        if any(part in links for part in _and_above(link.target)):
            raise UserError(f"{shown(name)} is a link to another link; {REMEDY}")
        if link.target in tree.files:
            found[name] = tree.files[link.target]
            continue
        below = list(_below(plain, link.target))
        if not below and link.target not in tree.folders:
            tree.broken.append(name)
            continue
        if len(found) + len(below) > most:
            raise UserError(f"over {most:,} files through links; {REMEDY}")
        if through := next(_below(linked, link.target), None):
            raise UserError(f"{shown(name)} is a link to a folder with another link in it, {shown(through)}; {REMEDY}")
        found |= {name + inner.removeprefix(link.target): tree.files[inner] for inner in below}
        tree.folders |= {name, *(name + inner.removeprefix(link.target) for inner in _below(folders, link.target))}
    tree.files |= found


def _usable(tree: Tree, name: str, link: Entry) -> bool:
    """Whether to follow a link; if not, it is among the tree's `broken` or `elsewhere`, or a UserError names it."""
    if link.target is None:
        if link.to_folder or is_image(name):
            raise UserError(f"{shown(name)} is a link out of the source; {REMEDY}")
        tree.elsewhere.append(name)
        return False
    if link.target == name:
        tree.broken.append(name)
        return False
    if link.target == "." or name.startswith(f"{link.target}/"):
        raise UserError(f"{shown(name)} is a link to a folder that contains it; remove it")
    return True


def _and_above(name: str) -> Iterator[str]:
    """A path, and the folders it lies in."""
    while name:
        yield name
        name = name.rpartition("/")[0]


def _below(names: Sequence[str], folder: str) -> Iterator[str]:
    """Those of the sorted names that lie in a folder."""
    start = f"{folder}/"
    for position in range(bisect_left(names, start), len(names)):
        if not names[position].startswith(start):
            return
        yield names[position]


def is_image(name: str) -> bool:
    """Whether it is named like an image of a format that is read."""
    from reslab.data.decode import SUFFIXES

    dot = name.rfind(".")
    return dot > name.rfind("/") + 1 and name[dot:].lower() in SUFFIXES
