"""What of a folder or an archive becomes an image of which class, and what is said of the rest."""

import io
import json
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_image_folder import FILES, dataset, fetch_and_read, png, write_archive, write_folder

from reslab.data import prepared
from reslab.data.datasets import other_test_set
from reslab.errors import UserError

FORMS = ["in", "in.tar", "in.tar.gz", "in.zip"]


def source(tmp_path: Path, form: str, files=FILES, links: dict[str, str] | None = None, folders: tuple[str, ...] = ()) -> Path:
    """The files, links (name -> target) and empty folders, as a folder or packed."""
    folder = write_folder(tmp_path / "in", files)
    for name in folders:
        (folder / name).mkdir(parents=True)
    for name, target in (links or {}).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(target)
    path = tmp_path / form
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for inner in sorted(folder.rglob("*")):
                member = zipfile.ZipInfo(str(inner.relative_to(folder)) + "/" * (inner.is_dir() and not inner.is_symlink()))
                member.external_attr = (0o120777 if inner.is_symlink() else 0o100644) << 16
                content = str(inner.readlink()) if inner.is_symlink() else b"" if inner.is_dir() else inner.read_bytes()
                archive.writestr(member, content)
    elif path != folder:
        with tarfile.open(path, f"w:{path.suffix[1:].replace('tar', '')}") as archive:
            archive.add(folder, arcname=".")
    return path


def test_what_is_left_out_is_counted_by_kind_and_named(tmp_path):
    odd = {"train/cat/a.HEIC": b"x", "test/cat/b.heic": b"x", "train/dog/c": b"x", "val/cat/1.png": png(9), "train/1.png": png(8)}
    links = {"test/dog/gone.png": "nothing.png", "test/dog/far.png": "/no/where.png"}
    path = source(tmp_path, "in", FILES | odd, links, folders=("train/fox", "test/fox"))
    images = dataset(tmp_path / "raw", path)
    said = images.fetch()
    assert said[0] == "in: 3 train, 2 test images of 2 classes, numbered in the order of their names"
    for part in (
        "2 .heic ('test/cat/b.heic', 'train/cat/a.HEIC')",
        "1 .txt ('train/dog/notes.txt')",
        "1 without an extension ('train/dog/c')",
        "2 broken links ('test/dog/far.png', 'test/dog/gone.png')",
        "2 class folders without images ('test/fox', 'train/fox')",
        "2 images in no class folder of train/ or test/ ('train/1.png', 'val/cat/1.png')",
        "2 hidden ('__MACOSX/train/cat/1.png', 'train/.DS_Store')",
    ):
        assert part in said[1]
    facts = prepared.save(images.read(), tmp_path / "prepared", name="image_folder", validation=0)
    assert facts["left_out"][".heic"] == {"count": 2, "some": ["'test/cat/b.heic'", "'train/cat/a.HEIC'"]}
    assert (
        json.loads((tmp_path / "prepared" / "dataset.json").read_text(encoding="utf-8"))["left_out"]["broken links"]["count"] == 2
    )


def test_many_kinds_and_long_names_stay_a_readable_line(tmp_path):
    odd = {f"train/cat/{'n' * 200}{i}.x{i}": b"" for i in range(100)}
    said = dataset(tmp_path / "raw", source(tmp_path, "in", FILES | odd)).fetch()
    assert len(said[1]) < 4000 and "of other kinds" in said[1]


def test_of_equal_names_the_last_holds_and_the_others_are_counted(tmp_path):
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w") as archive:
        for name, content in [("train/cat/1.png", png(77)), *FILES.items()]:
            write_member(archive, name, content)
    images = dataset(tmp_path / "raw", path)
    assert "1 under a name that comes again (the last holds) ('train/cat/1.png')" in images.fetch()[1]
    np.testing.assert_array_equal(
        images.read().train.images, fetch_and_read(tmp_path / "r", write_folder(tmp_path / "in")).train.images
    )


def write_member(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


@pytest.mark.parametrize("stored", ["pixels", "files"])
def test_equal_files_are_reported_with_their_number(tmp_path, stored):
    more = {"test/cat/same.png": png(1), "test/cat/again.png": png(1), "test/dog/odd.png": png(2), "train/cat/2b.png": png(2)}
    images = dataset(tmp_path / "raw", write_folder(tmp_path / "in", FILES | more), stored=stored)
    said = "\n".join(images.fetch())
    assert "equal files in train and in test: 3 ('test/cat/again.png' = 'train/cat/1.png'" in said
    assert "equal files twice in one split: 2 ('test/cat/same.png' = 'test/cat/again.png', " in said
    assert "equal files in several classes: 2 (" in said
    facts = prepared.save(images.read(), tmp_path / "prepared", name="image_folder", validation=0)
    assert facts["equal_files"]["in train and in test"]["count"] == 3


@pytest.mark.parametrize("form", FORMS)
def test_links_are_followed_once_within_the_source(tmp_path, form):
    store = {"store/a/1.png": png(50), "store/a/deep/2.png": png(51)}
    links = {"train/fox": "../store/a", "test/fox": "../store/a/deep", "train/cat/9.png": "1.png"}
    images = fetch_and_read(tmp_path / "raw", source(tmp_path, form, FILES | store, links))
    assert images.class_names == ["cat", "dog", "fox"]
    assert images.train.images[:, 0, 0, 0].tolist() == [1, 2, 1, 3, 50, 51]
    assert images.test.images[:, 0, 0, 0].tolist() == [4, 5, 51]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("links", "message"),
    [
        ({"train/fox": "../../outside"}, "'train/fox' is a link out of the source"),
        ({"train/cat/8.png": "../../../outside/8.png"}, "'train/cat/8.png' is a link out of the source"),
        ({"train/cat/8.png": "/etc/hostname"}, "'train/cat/8.png' is a link out of the source"),
        ({"train/cat/8.png": "9.png", "train/cat/9.png": "1.png"}, "'train/cat/8.png' is a link to another link"),
        ({"train/cat/all": "../.."}, "'train/cat/all' is a link to a folder that contains it"),
        ({"train/cat/all": ".."}, "'train/cat/all' is a link to a folder that contains it"),
        ({"train/fox": "cat", "train/cat/9.png": "1.png"}, "'train/fox' is a link to a folder with another link in it"),
    ],
)
def test_other_links_are_refused_by_name(tmp_path, form, links, message):
    write_folder(tmp_path / "outside", {"8.png": png(8)})
    with pytest.raises(UserError) as caught:
        dataset(tmp_path / "raw", source(tmp_path, form, links=links)).fetch()
    assert message in str(caught.value)
    assert not (tmp_path / "raw").exists()


def test_a_link_out_of_a_folder_to_what_is_no_image_does_not_matter(tmp_path):
    (tmp_path / "LICENSE").write_text("x")
    path = source(tmp_path, "in", links={"LICENSE": "../LICENSE"})
    assert "1 without an extension ('LICENSE')" in dataset(tmp_path / "raw", path).fetch()[1]


def test_hard_links_in_a_tar_are_followed(tmp_path):
    path = write_archive(tmp_path / "x.tar")
    with tarfile.open(path, "a") as archive:
        link = tarfile.TarInfo("test/dog/9.png")
        link.type, link.linkname = tarfile.LNKTYPE, "train/dog/1.png"
        archive.addfile(link)
    assert fetch_and_read(tmp_path / "raw", path).test.images[:, 0, 0, 0].tolist() == [4, 5, 3]


def moved(*prefixes: str) -> dict[str, bytes]:
    return {prefix + name: content for prefix in prefixes for name, content in FILES.items()}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            moved("fold1/", "fold2/"),
            "several places with train/ or test/: 'fold1/test', 'fold1/train' and 'fold2/test', 'fold2/train'",
        ),
        (moved("", "old/"), "'test', 'train' and 'old/test', 'old/train'"),
        ({f"{name.split('/')[0]}s/{name}": content for name, content in FILES.items()}, "'tests/test' and 'trains/train'"),
        (FILES | {"train/cat/test/1.png": png(9)}, "'train/cat/test' is inside 'train'"),
        (moved("a/", "b/", "c/"), "'b/train' (and 1 more)"),
    ],
)
def test_several_splits_are_refused_not_merged(tmp_path, form, files, message):
    for wrong in (lambda path: dataset(tmp_path / "raw", path).fetch(), scored):
        with pytest.raises(UserError) as caught:
            wrong(source(tmp_path, form, files))
        assert message in str(caught.value)


def scored(path: Path, classes=("cat", "dog"), **options):
    return other_test_set.read(path, image_shape=[3, 8, 8], class_names=list(classes), **options)


def test_a_class_may_be_called_train(tmp_path):
    files = {f"{split}/{kind}/{i}.png": png(i) for split in ("train", "test") for kind in ("train", "truck") for i in (1, 2)}
    folder = write_folder(tmp_path / "in", files)
    assert fetch_and_read(tmp_path / "raw", folder).class_names == ["train", "truck"]
    for path in (folder, folder / "test", folder / "train"):
        assert len(scored(path, ("train", "truck")).labels) == 4


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("prefix", ["", "wrapped/", "a/b/"])
def test_training_and_scoring_agree_on_the_class_of_an_image(tmp_path, form, prefix):
    """Also of nested images, and without splits."""
    nested = {prefix + name: content for name, content in (FILES | {"test/cat/of/2020/7.png": png(7)}).items()}
    path, told = source(tmp_path, form, nested), []
    trained = fetch_and_read(tmp_path / "raw", path).test
    found = scored(path, say=told.append)
    np.testing.assert_array_equal(found.images, trained.images)
    assert found.labels.tolist() == trained.labels.tolist() == [0, 0, 1]
    assert "3 images in train/ (" in told[0]
    flat = {name.replace("test/", "", 1): content for name, content in nested.items() if "test/" in name}
    (tmp_path / "flat").mkdir()
    np.testing.assert_array_equal(scored(source(tmp_path / "flat", form, flat)).images, trained.images)


def test_what_only_trains_is_not_scored_by_mistake(tmp_path):
    folder = write_folder(tmp_path / "in", {name: content for name, content in FILES.items() if "test/" not in name})
    with pytest.raises(UserError, match="only train/ in it"):
        scored(folder)
    assert len(scored(folder / "train").labels) == 3


def test_images_beside_the_class_folders_are_told(tmp_path):
    told: list[str] = []
    path = write_folder(tmp_path / "in", {"cat/1.png": png(1), "dog/1.png": png(2), "cover.png": png(3)})
    assert len(scored(path, say=told.append).labels) == 2
    assert told == ["left out: 1 images in no class folder ('cover.png')"]


@pytest.mark.parametrize("damage", [b"", b"{}", b"[1]", b'{"left_out": 3, "equal_files": {}}', b"\xff", None])
@pytest.mark.parametrize("name", ["found.json", "images.tar"])
def test_damage_to_what_was_fetched_is_one_line(tmp_path, damage, name):
    images = dataset(tmp_path / "raw", write_folder(tmp_path / "in"))
    images.fetch()
    (tmp_path / "raw" / name).unlink() if damage is None else (tmp_path / "raw" / name).write_bytes(damage)
    with pytest.raises(UserError, match=r"missing or damaged \(.*\); run `dvc repro -f fetch`"):
        images.read()


def animated(form: str) -> bytes:
    pictures, out = [Image.new("RGB", (8, 8), (shade, 0, 0)) for shade in (10, 90, 200)], io.BytesIO()
    pictures[0].save(out, form, save_all=True, append_images=pictures[1:])
    return out.getvalue()


def test_further_pictures_in_a_file_are_counted(tmp_path):
    """Pages and frames: the first is taken."""
    several = {f"train/cat/x.{form.lower()}": animated(form) for form in ("GIF", "TIFF", "WEBP", "PNG")}
    path = source(tmp_path, "in", FILES | several | {"test/cat/y.gif": animated("GIF"), "train/dog/one.webp": png(5)})
    said = dataset(tmp_path / "raw", path).fetch()[1]
    assert "5 with further pictures in the same file (the first is taken) ('test/cat/y.gif', 'train/cat/x.gif', " in said
    told = []
    other_test_set.read(path, image_shape=[3, 8, 8], class_names=["cat", "dog"], say=told.append)
    assert "1 with further pictures in the same file (the first is taken) ('test/cat/y.gif')" in told[0]
