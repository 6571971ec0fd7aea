"""ImageNet from its official archives and from folders: made small, read as the whole is."""

import hashlib
import io

import pytest
from ilsvrc_archives import devkit, table, tar
from PIL import Image

from reslab.config.schema import bind
from reslab.data import prepared
from reslab.data.datasets import DATASETS, ilsvrc, long_copy
from reslab.data.prepared import inspection, unfinished
from reslab.errors import UserError
from reslab.runs.folders import checkpoints

WORDNET = {1: "n02000002", 2: "n01000001", 3: "n03000003"}  # the third is a group of the others
TABLE = table(WORDNET, groups=[3])
TRAIN, ANSWERS = 3, [2, 1, 1, 2]  # images of each class, ids of the validation images
STOP = KeyboardInterrupt


def jpeg(shade: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (40, 30), (shade, 255 - shade, 7)).save(out, "JPEG")
    return out.getvalue()


def training_images(number: int) -> dict[str, bytes]:
    return {f"{WORDNET[number]}_{image}.JPEG": jpeg(60 * number + 20 * image) for image in range(TRAIN)}


def official(folder, **changed):
    """A folder with the three archives."""
    train = {f"{WORDNET[number]}.tar": tar(training_images(number)) for number in (1, 2)}
    validation = {f"ILSVRC2012_val_{number + 1:08}.JPEG": jpeg(180 + 20 * number) for number in range(len(ANSWERS))}
    archives = {ilsvrc.TRAIN: tar(train), ilsvrc.VALIDATION: tar(validation), ilsvrc.DEVKIT: devkit(TABLE, ANSWERS)} | changed
    folder.mkdir(exist_ok=True)
    for name, content in archives.items():
        if content is not None:
            (folder / name).write_bytes(content)
    return folder


def dataset(tmp_path, source, **options):
    return bind(DATASETS, {"name": "imagenet", "source": str(source), "image_size": 16, "complete": False} | options, "dataset")(
        tmp_path / "raw"
    )


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_official_archives_are_read_with_the_labels_of_their_devkit(tmp_path):
    made = dataset(tmp_path, official(tmp_path / "imagenet"))
    assert made.fetch() == ["imagenet: 6 train and 4 validation images (the test split) of 2 classes"]
    read = made.read()
    assert read.class_names == ["n01000001", "n02000002"]
    assert read.train.labels.tolist() == [0] * TRAIN + [1] * TRAIN
    found = {read.test.name(number): int(label) for number, label in enumerate(read.test.labels)}
    assert found == {
        "test/n01000001/ILSVRC2012_val_00000001.JPEG": 0,
        "test/n01000001/ILSVRC2012_val_00000004.JPEG": 0,
        "test/n02000002/ILSVRC2012_val_00000002.JPEG": 1,
        "test/n02000002/ILSVRC2012_val_00000003.JPEG": 1,
    }
    assert [content for _, content in read.train.contents([3])] == [jpeg(60)]  # the first of class n02000002
    facts = prepared.save(read, tmp_path / "prepared", name="imagenet", validation=0)
    assert facts["resize"] == 18
    assert not list(checkpoints().glob("*"))


def test_folders_with_val_are_the_same_images_as_the_archives(tmp_path):
    first = dataset(tmp_path, official(tmp_path / "imagenet"))
    first.fetch()
    stored = first.read()
    for split in (stored.train, stored.test):
        for name, content in split.contents(range(len(split))):
            path = tmp_path / "folders" / name.replace("test/", "val/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    second = dataset(tmp_path / "second", tmp_path / "folders")
    second.fetch()
    again = second.read()
    assert again.class_names == stored.class_names
    for split in ("train", "test"):
        ours, theirs = getattr(again, split), getattr(stored, split)
        assert list(ours.contents(range(len(ours)))) == list(theirs.contents(range(len(theirs))))
    with pytest.raises(UserError, match=r"not the whole ImageNet: 6 train instead of 1,281,167, 4 test .*complete: false"):
        dataset(tmp_path / "third", tmp_path / "folders", complete=True).fetch()


@pytest.mark.parametrize(("after", "between", "again"), [(0, 1, 0), (1, 1, 0), (5, 1, 0), (9, 1, 0), (5, 3000, 1), (9, 10**6, 9)])
def test_an_interrupted_copy_goes_on_where_it_was(tmp_path, monkeypatch, after, between, again):
    """Killed in each part of the archives: the same bytes in the end, and no image of before the last mark is read again."""
    monkeypatch.setattr(long_copy, "BYTES_BETWEEN_MARKS", between)
    source = official(tmp_path / "imagenet")
    whole = dataset(tmp_path / "whole", source)
    whole.fetch()
    read = []

    def interrupted(folder, skip, *, real=ilsvrc.images):
        for number, image in enumerate(real(folder, skip)):
            if number == after:
                raise STOP
            read.append(image[0])
            yield image

    made = dataset(tmp_path, source)
    with monkeypatch.context() as patched:
        patched.setattr(ilsvrc, "images", interrupted)
        with pytest.raises(STOP):
            made.fetch()
    first, real = list(read), ilsvrc.images
    monkeypatch.setattr(ilsvrc, "images", lambda folder, skip: (read.append(image[0]) or image for image in real(folder, skip)))
    made.fetch()
    assert len(read) == 10 + again
    assert len(set(read)) == 10
    assert first == read[:after]
    for name in ("images.tar", "found.json"):
        assert (made.raw / name).read_bytes() == (whole.raw / name).read_bytes()
    assert not list(checkpoints().glob("*"))


def test_whole_archives_have_the_published_checksums_and_are_hashed_once(tmp_path, monkeypatch):
    source = official(tmp_path / "imagenet")
    with pytest.raises(UserError, match=r"train.tar: MD5 is \w{32}, published is 1d675b47.*complete: false"):
        dataset(tmp_path, source, complete=True).fetch()
    monkeypatch.setattr(ilsvrc, "MD5", {name: hashlib.md5((source / name).read_bytes()).hexdigest() for name in ilsvrc.MD5})
    hashed, real = [], long_copy._md5
    monkeypatch.setattr(long_copy, "_md5", lambda path, advance: hashed.append(path.name) or real(path, advance))
    with monkeypatch.context() as patched:
        patched.setattr(ilsvrc, "images", lambda folder, skip: (_ for _ in ()).throw(STOP()))
        with pytest.raises(STOP):
            dataset(tmp_path, source, complete=True).fetch()
    dataset(tmp_path, source, complete=True).fetch()
    assert hashed == [*ilsvrc.MD5]


WRONG = {
    "no devkit": ({ilsvrc.DEVKIT: None}, "no ILSVRC2012_devkit_t12.tar.gz"),
    "a devkit without labels": ({ilsvrc.DEVKIT: tar({"x/data/meta.mat": TABLE}, "w:gz")}, "0 files data/ILSVRC2012_validation"),
    "labels of no class": ({ilsvrc.DEVKIT: devkit(TABLE, [1, 2, 3, 2])}, "class 3 is not in"),
    "labels that are words": ({ilsvrc.DEVKIT: devkit(TABLE, ["cat"] * 4)}, "damaged"),
    "a table that is none": ({ilsvrc.DEVKIT: devkit(b"MATLAB 5.0", ANSWERS)}, "damaged"),
    "a table of other things": ({ilsvrc.DEVKIT: devkit(table({1: "n01000001"}), ANSWERS)}, "class 2 is not in"),
    "a class of another set": ({ilsvrc.TRAIN: tar({"n9.tar": tar({})})}, "'n9.tar' is not the archive of a class"),
    "a picture in place of an archive": ({ilsvrc.TRAIN: tar({"n01000001.tar": jpeg(1)})}, "damaged"),
    "a cut archive": ({ilsvrc.TRAIN: tar({"n01000001.tar": tar(training_images(2))[:2000]})}, "damaged or truncated"),
    "an archive cut within an image": (
        {ilsvrc.VALIDATION: tar({"ILSVRC2012_val_00000001.JPEG": jpeg(1)})[:700]},
        "damaged or trunc",
    ),
    "a name that leads out": ({ilsvrc.TRAIN: tar({"n01000001.tar": tar({"../../x.JPEG": jpeg(1)})})}, "not an image of ImageNet"),
    "a validation image without a label": ({ilsvrc.VALIDATION: tar({"ILSVRC2012_val_00000005.JPEG": jpeg(1)})}, "no label"),
    "a class without validation images": ({ilsvrc.VALIDATION: tar({"ILSVRC2012_val_00000001.JPEG": jpeg(1)})}, "the same classes"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_does_not_belong_is_refused_by_name(tmp_path, case):
    changed, message = WRONG[case]
    with pytest.raises(UserError, match=message) as refused:
        dataset(tmp_path, official(tmp_path / "imagenet", **changed)).fetch()
    assert str(tmp_path / "imagenet") in str(refused.value)
    assert len(str(refused.value)) < 400


def test_too_little_space_is_said_before_anything_is_copied(tmp_path, monkeypatch):
    monkeypatch.setattr(long_copy.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 1000})())
    with pytest.raises(UserError, match=r"0\.0 GiB free, the images need"):
        dataset(tmp_path, official(tmp_path / "imagenet")).fetch()


@pytest.mark.parametrize("damage", [None, lambda it: it[:-50], lambda it: it.replace(b"(6, 32)", b"(2, 32)"), lambda it: b""])
def test_an_interrupted_preprocess_goes_on_where_it_was(tmp_path, monkeypatch, damage):
    """The same facts and files as without the interruption; findings that were damaged on disk are made again."""
    made = dataset(tmp_path, official(tmp_path / "imagenet"))
    made.fetch()
    monkeypatch.setattr(inspection, "CHUNK", 2)
    whole = prepared.save(made.read(), tmp_path / "whole", name="imagenet", validation=2)
    monkeypatch.setattr(unfinished, "SECONDS_BETWEEN_SAVES", 0)
    inspected, real = [], inspection._inspect

    def interrupted(task):
        if len(inspected) == 3:
            raise STOP
        inspected.append(task)
        return real(task)

    with monkeypatch.context() as patched:
        patched.setattr(inspection, "_inspect", interrupted)
        with pytest.raises(STOP):
            prepared.save(made.read(), tmp_path / "prepared", name="imagenet", validation=2)
    (kept,) = checkpoints().glob("preprocess-*/inspected.npz")
    if damage:
        whole_bytes = kept.read_bytes()
        kept.write_bytes(damage(whole_bytes))
        assert kept.read_bytes() != whole_bytes
    monkeypatch.setattr(inspection, "_inspect", lambda task: (inspected.append(task), real(task))[1])
    assert prepared.save(made.read(), tmp_path / "prepared", name="imagenet", validation=2) == whole
    assert len(inspected) == (3 + 5 if damage else 5)
    assert prepared.read_facts(tmp_path / "prepared") == whole
    assert not list(checkpoints().glob("*"))
