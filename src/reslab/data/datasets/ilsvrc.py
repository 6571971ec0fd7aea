"""The three official archives of ILSVRC 2012, read as they are: a tar of a tar for each class, a flat tar, and their labels."""

import io
import re
from collections.abc import Iterator
from pathlib import Path

from reslab.data.datasets import tars
from reslab.data.datasets.archives import MAX_MEMBER_BYTES, look_into, reading
from reslab.errors import UserError, shown

TRAIN, VALIDATION, DEVKIT = "ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar", "ILSVRC2012_devkit_t12.tar.gz"
MD5 = {  # as image-net.org states them
    TRAIN: "1d675b47d978889d74fa0da5fadfb00e",
    VALIDATION: "29b22e2961454d5413ddabcf34fc5622",
    DEVKIT: "fa75699e90414af021442c21a62c3abf",
}
META, ANSWERS = "/data/meta.mat", "/data/ILSVRC2012_validation_ground_truth.txt"  # in the devkit
MOST_META_BYTES = 2**24
NAME = re.compile(r"[A-Za-z0-9_-]{1,100}\.(?:JPEG|jpeg|jpg|JPG)")
NUMBERED = re.compile(r"ILSVRC2012_val_(\d{8})\.JPEG")


def images(folder: Path, skip: int) -> Iterator[tuple[str, bytes]]:
    """Every image as train/<WordNet id>/<file> or test/<WordNet id>/<file> with its content, in the archives' order.

    The first `skip` are passed over, unread. Raises UserError naming what does not belong.
    """
    classes, answers = _devkit(folder / DEVKIT)
    for number, (name, member, archive) in enumerate(_places(folder, classes, answers)):
        if number >= skip:
            with reading(folder / (TRAIN if place(name)[0] == "train" else VALIDATION)):
                content = archive.extractfile(member).read()
            yield name, content


def place(name: str) -> tuple[str, str]:
    """(split, class) of a name from `images`."""
    split, wordnet, _ = name.split("/")
    return split, wordnet


def _places(folder: Path, classes: dict[int, str], answers: list[int]) -> Iterator[tuple]:
    known = set(classes.values())
    with reading(folder / TRAIN), (folder / TRAIN).open("rb") as file:
        for inner, outer in tars.members(file, (folder / TRAIN).stat().st_size):
            wordnet = inner.name.removesuffix(".tar")
            if not inner.isfile() or wordnet not in known:
                raise UserError(f"member {shown(inner.name)} is not the archive of a class that {DEVKIT} knows")
            for member, archive in tars.members(outer.extractfile(inner), inner.size):
                yield f"train/{wordnet}/{_checked(member)}", member, archive
    with reading(folder / VALIDATION), (folder / VALIDATION).open("rb") as file:
        for member, archive in tars.members(file, (folder / VALIDATION).stat().st_size):
            found = NUMBERED.fullmatch(_checked(member))
            if not found or not 1 <= int(found[1]) <= len(answers):
                raise UserError(f"member {shown(member.name)} has no label in {DEVKIT}")
            yield f"test/{classes[answers[int(found[1]) - 1]]}/{found[0]}", member, archive


def _checked(member: tars.Member) -> str:
    """The name of an image's file."""
    name = member.name.removeprefix("./")
    if not member.isfile() or not NAME.fullmatch(name):
        raise UserError(f"member {shown(member.name)} is not an image of ImageNet")
    if member.size > MAX_MEMBER_BYTES:
        raise UserError(f"{shown(name)} is {member.size:,} bytes, over the limit of {MAX_MEMBER_BYTES:,}")
    return name


def _devkit(path: Path) -> tuple[dict[int, str], list[int]]:
    """ILSVRC2012 id -> WordNet id of the classes, and the id of each validation image."""
    source = look_into(path)
    wanted = {end: [name for name in source.tree.files if f"/{name}".endswith(end)] for end in (META, ANSWERS)}
    for end, names in wanted.items():
        if len(names) != 1:
            raise UserError(f"{path}: {len(names)} files {end.removeprefix('/')}, one is needed")
    found = dict(source.contents([wanted[META][0], wanted[ANSWERS][0]]))
    meta, answers = found[wanted[META][0]], found[wanted[ANSWERS][0]]
    with reading(path):
        if len(meta) > MOST_META_BYTES:
            raise UserError(f"{META} is {len(meta):,} bytes, over the limit of {MOST_META_BYTES:,}")
        classes = _classes(meta)
        numbers = [int(line) for line in answers.decode("ascii").split()]
        if unknown := set(numbers) - set(classes):
            raise UserError(f"{ANSWERS}: class {min(unknown)} is not in {META}")
    return classes, numbers


def _classes(meta: bytes) -> dict[int, str]:
    """The synsets without children: they are the classes."""
    from scipy.io import loadmat

    synsets = loadmat(io.BytesIO(meta), squeeze_me=True)["synsets"]
    leaves = [synset for synset in synsets.reshape(-1) if int(synset["num_children"]) == 0]
    return {int(synset["ILSVRC2012_ID"]): str(synset["WNID"]) for synset in leaves}
