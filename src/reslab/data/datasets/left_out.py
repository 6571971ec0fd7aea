"""What of a source is taken as images and what is left out, counted by kind."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from reslab.data.datasets.archives import Source
from reslab.data.datasets.entries import is_hidden
from reslab.data.datasets.links import is_image
from reslab.data.datasets.places import Layout
from reslab.errors import shown

NAMED = 5  # files that are named of each kind
KINDS = 12  # that are told apart
OTHERS = "of other kinds"


@dataclass
class LeftOut:
    """The files and empty class folders of a source that are not taken: kind -> names."""

    kinds: dict[str, list[str]] = field(default_factory=dict)

    def add(self, kind: str, name: str) -> None:
        """Note a file."""
        self.kinds.setdefault(kind, []).append(name)

    def watched(self, files: Iterable[tuple[str, bytes]]) -> Iterator[tuple[str, bytes]]:
        """The same files; those with further pictures in them, of which the first is taken, are noted on their way."""
        from reslab.data.decode import has_further_pictures  # PIL is loaded where there are images only

        for name, content in files:
            if has_further_pictures(content):
                self.add("with further pictures in the same file (the first is taken)", name)
            yield name, content

    def facts(self) -> dict[str, dict]:
        """Kind -> how many and the names of some, for JSON, the most frequent kinds first."""
        ordered = sorted(self.kinds.items(), key=lambda item: (-len(item[1]), item[0]))
        counted = dict(ordered[:KINDS])
        if others := [name for _, names in ordered[KINDS:] for name in names]:
            counted[OTHERS] = others
        return {
            kind: {"count": len(names), "some": [shown(name) for name in sorted(names)[:NAMED]]} for kind, names in counted.items()
        }

    def lines(self) -> list[str]:
        """One line, or none if everything was taken."""
        kinds = [
            f"{said['count']:,} {kind} ({', '.join(said['some'])}{', ...' if said['count'] > NAMED else ''})"
            for kind, said in self.facts().items()
        ]
        return [f"left out: {'; '.join(kinds)}"] if kinds else []


def images_in(source: Source) -> tuple[list[str], LeftOut]:
    """The files that are named like images, and all others."""
    images, left_out = [], LeftOut()
    for name in source.tree.repeated:
        left_out.add("under a name that comes again (the last holds)", name)
    for name in source.tree.broken:
        left_out.add("broken links", name)
    for name in (*source.tree.files, *source.tree.elsewhere):
        if is_hidden(name):
            left_out.add("hidden", name)
        elif is_image(name):
            images.append(name)
        else:
            left_out.add(_form(name), name)
    return images, left_out


def empty_classes(source: Source, layout: Layout, images: Iterable[str]) -> list[str]:
    """The class folders that hold none of the images."""
    used = {layout.place(name) for name in images}
    folders = {layout.place(f"{folder}/x"): folder for folder in sorted(source.tree.folders, reverse=True) if not is_hidden(folder)}
    return [folder for place, folder in folders.items() if place is not None and place not in used]


def _form(name: str) -> str:
    """The kind of a file that is no image: its suffix."""
    file = name.rpartition("/")[2]
    dot = file.rfind(".")
    return shown(file[dot : dot + 20].lower())[1:-1] if dot > 0 else "without an extension"
