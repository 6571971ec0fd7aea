"""Which class an image is of: the one rule, for training folders, archives and other test sets."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from reslab.errors import UserError, shown

SPLITS = ("train", "test")


@dataclass(frozen=True)
class Layout:
    """Where the classes lie: in `root`/train/ and `root`/test/, or in `root` itself.

    An image is of the class in whose folder it lies, directly or deeper.
    """

    root: str  # "" is the source itself
    in_splits: bool

    def place(self, name: str) -> tuple[str, str] | None:
        """(split, class) of an image, the split "" where there are none; None for one that is in no class folder."""
        start = f"{self.root}/" if self.root else ""
        if not name.startswith(start):
            return None
        parts = name[len(start) :].split("/")
        if not self.in_splits:
            return ("", parts[0]) if len(parts) > 1 else None
        return (parts[0], parts[1]) if len(parts) > 2 and parts[0] in SPLITS else None


def split_layout(images: Iterable[str]) -> tuple[Layout, set[str]] | None:
    """The layout with train/ and test/ that the images' names show, and which of the two there are; None without either.

    Raises UserError where there are several: their images would mix.
    """
    roots: dict[str, set[str]] = {}
    for name in images:
        parts = name.split("/")
        found = next((position for position, part in enumerate(parts[:-2]) if part in SPLITS), None)
        if found is None:
            continue
        inner = next((position for position in range(found + 2, len(parts) - 1) if parts[position] in SPLITS), None)
        if inner is not None:
            both = shown("/".join(parts[: inner + 1])), shown("/".join(parts[: found + 1]))
            raise UserError(f"{both[0]} is inside {both[1]}: a class or a split? Give each split its own folder")
        roots.setdefault("/".join(parts[:found]), set()).add(parts[found])
    if len(roots) > 1:
        first, second = (_split_folders(root, roots[root]) for root in sorted(roots)[:2])
        more = f" (and {len(roots) - 2} more)" if len(roots) > 2 else ""
        raise UserError(f"several places with train/ or test/: {first} and {second}{more}; give the folder of one as the source")
    return next(((Layout(root, True), splits) for root, splits in roots.items()), None)


def _split_folders(root: str, splits: Collection[str]) -> str:
    return ", ".join(shown(f"{root}/{split}".removeprefix("/")) for split in sorted(splits))


def flat_layout(images: Iterable[str], classes: Collection[str]) -> Layout:
    """The layout without splits: below the folder that all images share, or above it, where the folders are the `classes`.

    Where they nowhere are, the deepest folder below which every image has a class.
    """
    names = list(images)
    common = _common_folder(names)
    tried = {root: [Layout(root, False).place(name) for name in names] for root in (common, *_above(common))}
    fitting = (root for root, places in tried.items() if {place[1] for place in places if place} == set(classes))
    whole = (root for root, places in tried.items() if None not in places)
    return Layout(next(fitting, None) or next(whole, ""), False)


def _common_folder(names: list[str]) -> str:
    first, last = min(names, default="").split("/")[:-1], max(names, default="").split("/")[:-1]
    shared = 0
    while shared < min(len(first), len(last)) and first[shared] == last[shared]:
        shared += 1
    return "/".join(first[:shared])


def _above(folder: str) -> Iterable[str]:
    while folder:
        folder = folder.rpartition("/")[0]
        yield folder
