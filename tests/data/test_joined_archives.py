"""Archives that are several in one, or of another kind than their name says."""

import io
import zipfile

import pytest

from reslab.data.datasets.archives import look_into
from reslab.errors import UserError


def packed(*names: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in names:
            archive.writestr(name, b"content")
    return out.getvalue()


@pytest.mark.parametrize("last", [packed("train/b/2.png"), packed()])
def test_the_first_of_two_joined_zips_is_not_lost_without_a_word(tmp_path, last):
    (tmp_path / "x.zip").write_bytes(packed("train/a/1.png") + last)
    with pytest.raises(UserError, match=r"x\.zip: several zips in one file"):
        look_into(tmp_path / "x.zip")


def test_a_program_before_a_zip_that_unpacks_itself_is_passed_over(tmp_path):
    (tmp_path / "x.zip").write_bytes(b"#!/bin/sh\n" + packed("train/a/1.png"))
    assert list(look_into(tmp_path / "x.zip").tree.files) == ["train/a/1.png"]


@pytest.mark.parametrize(
    ("mark", "form"), [(b"7z\xbc\xaf\x27\x1c", "7-Zip"), (b"Rar!\x1a\x07", "RAR"), (b"\x28\xb5\x2f\xfd", "Zstandard")]
)
@pytest.mark.parametrize("name", ["x.zip", "x.tar", "x.tar.gz", "x"])
def test_other_archives_are_named_whatever_they_are_called(tmp_path, name, mark, form):
    (tmp_path / name).write_bytes(mark + bytes(1000))
    with pytest.raises(UserError, match=f"a {form} archive, which is not read here"):
        look_into(tmp_path / name)
