"""Arrays of a test set with random damage to their headers: numbers, or one line of refusal."""

import io
import os

import numpy as np
import pytest
from fuzzing import fuzz
from hostile import CHANGES, changed, check_message
from hypothesis import given
from hypothesis import strategies as st

from reslab.data.datasets import other_test_set
from reslab.data.prepared.splits import Arrays
from reslab.errors import UserError

TASK = {"image_shape": [1, 2, 2], "class_names": ["a", "b"]}


def stored(array: np.ndarray, version: tuple[int, int] = (1, 0)) -> bytes:
    out = io.BytesIO()
    np.lib.format.write_array(out, array, version=version)
    return out.getvalue()


IMAGES = np.arange(24, dtype=np.uint8).reshape(6, 2, 2)
LABELS = np.arange(6) % 2
TEXTS = st.one_of(
    st.text(st.sampled_from("{}[]()'\",:0123456789-<>|uif descrshapefortran_order\\\n"), max_size=80),
    st.sampled_from(
        [
            "(" * 3000 + ")" * 3000,
            "{'descr': '|u1', 'fortran_order': False, 'shape': (" + "9" * 5000 + ",)}",
            "{'descr': '|u1', 'fortran_order': False, 'shape': (-6, 2, 2)}",
            "{'descr': '|u1', 'fortran_order': False, 'shape': (True, 2, 2)}",
            "{'descr': '|O', 'fortran_order': False, 'shape': (6, 2, 2)}",
            "{'descr': [('a', '|u1', 2**9)], 'fortran_order': False, 'shape': (6,)}",
            "{'descr': '|u1', 'fortran_order': 1, 'shape': (6, 2, 2)}",
            "{'descr': '|u1', 'fortran_order': False, 'shape': (10**12, 2, 2)}",
            "-" * 9000 + "1",
            "0x" + "f" * 9000,
        ]
    ),
)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("npy")


def read(place, images: bytes, labels: bytes) -> None:
    (place / "x.npy").write_bytes(images)
    (place / "y.npy").write_bytes(labels)
    try:
        found = other_test_set.read(place / "x.npy", labels=place / "y.npy", **TASK)
    except UserError as error:
        check_message(Exception(str(error).replace(str(place), "")))
    else:
        assert isinstance(found, Arrays) and found.images.shape == (len(found), 1, 2, 2)
        assert found.images.dtype == np.uint8 and set(found.labels) <= {0, 1}


@fuzz(500)
@given(st.sampled_from([(1, 0), (2, 0), (3, 0)]), CHANGES, st.booleans())
def test_fuzz_damaged_arrays(place, version, changes, which):
    images, labels = stored(IMAGES, version), stored(LABELS, version)
    read(place, changed(images, changes) if which else images, labels if which else changed(labels, changes))


@fuzz(500)
@given(TEXTS, st.sampled_from([1, 2, 3, 4]))
def test_fuzz_headers_of_arrays(place, text, version):
    header = text.encode()
    length = len(header).to_bytes(2 if version == 1 else 4, "little")
    read(place, b"\x93NUMPY" + bytes([version, 0]) + length + header + IMAGES.tobytes(), stored(LABELS))


def test_what_is_no_array_is_named(tmp_path):
    np.savez(tmp_path / "x.npz", IMAGES)
    (tmp_path / "x.npz").rename(tmp_path / "x.npy")
    np.save(tmp_path / "y.npy", LABELS)
    with pytest.raises(UserError, match=r"x\.npy: several arrays in one file"):
        other_test_set.read(tmp_path / "x.npy", labels=tmp_path / "y.npy", **TASK)
    for name in ("folder.npy", "pipe.npy"):
        (tmp_path / name).mkdir() if name == "folder.npy" else os.mkfifo(tmp_path / name)
        with pytest.raises(UserError, match="not a plain file"):
            other_test_set.read(tmp_path / name, labels=tmp_path / "y.npy", **TASK)


def test_an_array_larger_than_memory_is_refused_before_it_is_read(tmp_path):
    """As a sparse file it takes no room on the disk, and a thousand bytes as an archive."""
    np.save(tmp_path / "y.npy", LABELS)
    for name, kind, images, labels in (("x.npy", "|u1", "x.npy", "y.npy"), ("z.npy", "<i8", "x.npy", "z.npy")):
        header = io.BytesIO()
        shape = (2**41, 2, 2) if name == "x.npy" else (2**40,)
        np.lib.format.write_array_header_1_0(header, {"descr": kind, "fortran_order": False, "shape": shape})
        (tmp_path / name).write_bytes(header.getvalue())
        os.truncate(tmp_path / name, len(header.getvalue()) + np.dtype(kind).itemsize * int(np.prod(shape)))
        with pytest.raises(UserError, match=rf"{name}: [\d,]+ bytes; this machine has a memory of "):
            other_test_set.read(tmp_path / images, labels=tmp_path / labels, **TASK)
        np.save(tmp_path / "x.npy", IMAGES)
