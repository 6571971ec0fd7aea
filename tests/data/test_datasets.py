"""The named datasets: digits for real, torchvision's through small stand-ins of the real files served from disk and HTTP."""

import gzip
import hashlib
import pickle
import struct
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits
from torchvision import datasets as torchvision_datasets

from reslab.config.schema import bind
from reslab.data.datasets import DATASETS, digits
from reslab.errors import UserError


def dataset(raw: Path, **spec):
    return bind(DATASETS, spec, "dataset")(raw)


def test_digits(tmp_path):
    ours = dataset(tmp_path, name="digits")
    ours.fetch()
    images = ours.read()
    assert images.train.images.shape == (1437, 1, 8, 8)
    assert images.test.images.shape == (360, 1, 8, 8)
    assert images.train.images.max() == 255
    assert np.bincount(images.test.labels).min() >= 34
    together = np.concatenate([images.train.images, images.test.images])[:, 0]
    original = np.rint(load_digits().images * 255 / 16).astype(np.uint8)
    assert sorted(map(bytes, together)) == sorted(map(bytes, original))


def test_altered_digits_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(digits, "DIGITS_SHA256", "0" * 64)
    with pytest.raises(UserError, match="digits: scikit-learn's images have sha256"):
        dataset(tmp_path, name="digits").fetch()


def idx(array: np.ndarray) -> bytes:
    """An array in the IDX format of MNIST."""
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def small_mnist(tmp_path, monkeypatch) -> Path:
    """Files named and packed like MNIST's, 20 + 10 images, with torchvision told their checksums."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    generator = np.random.default_rng(0)
    resources = []
    for split, count in (("train", 20), ("t10k", 10)):
        images = generator.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        for name, array in (
            (f"{split}-images-idx3-ubyte.gz", images),
            (f"{split}-labels-idx1-ubyte.gz", np.arange(count, dtype=np.uint8) % 10),
        ):
            packed = gzip.compress(idx(array), mtime=0)
            (folder / name).write_bytes(packed)
            resources.append((name, hashlib.md5(packed).hexdigest()))
    monkeypatch.setattr(torchvision_datasets.FashionMNIST, "resources", resources)
    return folder


@pytest.fixture
def small_cifar(tmp_path, monkeypatch) -> Path:
    """A cifar-10-python.tar.gz of 2 x 10 images, with torchvision told its checksums."""
    import tarfile

    kind, folder = torchvision_datasets.CIFAR10, tmp_path / "cifar" / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    generator = np.random.default_rng(0)
    batch = {"data": generator.integers(0, 256, (10, 3072), dtype=np.uint8), "labels": list(range(10))}
    checksums = {}
    for name, content in (("data_batch_1", batch), ("test_batch", batch), ("batches.meta", {"label_names": list("abcdefghij")})):
        (folder / name).write_bytes(pickle.dumps(content))
        checksums[name] = hashlib.md5((folder / name).read_bytes()).hexdigest()
    with tarfile.open(tmp_path / "cifar" / kind.filename, "w:gz") as archive:
        archive.add(folder, kind.base_folder)
    monkeypatch.setattr(kind, "train_list", [["data_batch_1", checksums["data_batch_1"]]])
    monkeypatch.setattr(kind, "test_list", [["test_batch", checksums["test_batch"]]])
    monkeypatch.setattr(kind, "meta", kind.meta | {"md5": checksums["batches.meta"]})
    monkeypatch.setattr(kind, "tgz_md5", hashlib.md5((tmp_path / "cifar" / kind.filename).read_bytes()).hexdigest())
    return tmp_path / "cifar"


@pytest.fixture
def serve():
    """Serve a folder over HTTP on this machine."""
    servers = []

    def start(folder: Path) -> str:
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(folder)))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_mnist_files_from_a_folder(tmp_path, small_mnist):
    fashion = dataset(tmp_path / "raw", name="fashion_mnist", source=str(small_mnist))
    fashion.fetch()
    images = fashion.read()
    assert images.train.images.shape == (20, 1, 28, 28)
    assert images.test.labels.tolist() == list(range(10))
    assert not list((tmp_path / "raw").rglob("*.gz"))


def test_mnist_files_from_a_mirror(tmp_path, small_mnist, serve):
    fashion = dataset(tmp_path / "raw", name="fashion_mnist", source=serve(small_mnist))
    fashion.fetch()
    assert fashion.read().train.images.shape == (20, 1, 28, 28)


def test_cifar_from_its_archive_its_folder_and_a_mirror(tmp_path, small_cifar, serve):
    sources = [small_cifar, small_cifar / "cifar-10-python.tar.gz", small_cifar / "cifar-10-batches-py", serve(small_cifar)]
    for number, source in enumerate(sources):
        cifar = dataset(tmp_path / f"raw{number}", name="cifar10", source=str(source))
        cifar.fetch()
        images = cifar.read()
        assert images.train.images.shape == (10, 3, 32, 32)
        assert images.class_names == list("abcdefghij")


@pytest.mark.parametrize("damage", ["truncated", "altered"])
def test_a_bad_file_is_refused_by_name(tmp_path, small_mnist, damage):
    path = small_mnist / "train-images-idx3-ubyte.gz"
    content = bytearray(path.read_bytes())
    if damage == "truncated":
        path.write_bytes(content[:-100])
    else:
        other = bytearray(gzip.decompress(content))
        other[500] ^= 1
        path.write_bytes(gzip.compress(bytes(other)))
    with pytest.raises(UserError, match="train-images-idx3-ubyte"):
        dataset(tmp_path / "raw", name="fashion_mnist", source=str(small_mnist)).fetch()


def test_a_bad_mirror_file_is_refused(tmp_path, small_mnist, serve):
    (small_mnist / "t10k-labels-idx1-ubyte.gz").write_bytes(b"bad")
    with pytest.raises(UserError, match=r"fashion_mnist: could not get t10k-labels-idx1-ubyte from .*dataset\.source"):
        dataset(tmp_path / "raw", name="fashion_mnist", source=serve(small_mnist)).fetch()


def test_a_pickle_with_the_wrong_checksum_is_never_opened(tmp_path, small_cifar):
    marker = tmp_path / "executed"
    payload = b"cposix\nsystem\n(S'touch %s'\ntR." % str(marker).encode()
    (small_cifar / "cifar-10-batches-py" / "data_batch_1").write_bytes(payload)
    with pytest.raises(UserError, match="data_batch_1 is not the original file"):
        dataset(tmp_path / "raw", name="cifar10", source=str(small_cifar / "cifar-10-batches-py")).fetch()
    assert not marker.exists()


def test_a_missing_file_is_named(tmp_path, small_mnist):
    (small_mnist / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(UserError, match="missing t10k-labels-idx1-ubyte"):
        dataset(tmp_path / "raw", name="fashion_mnist", source=str(small_mnist)).fetch()


def test_no_network_says_how_to_go_on(tmp_path):
    with pytest.raises(UserError, match=r"set dataset\.source"):
        dataset(tmp_path / "raw", name="kmnist", source="http://127.0.0.1:9/").fetch()


@pytest.mark.local_data
def test_real_mnist(tmp_path, local_data):
    mnist = dataset(tmp_path / "raw", name="mnist", source=str(local_data / "mnist"))
    mnist.fetch()
    images = mnist.read()
    assert images.train.images.shape == (60_000, 1, 28, 28)
    assert images.train.labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert images.train.images.mean() / 255 == pytest.approx(0.1307, abs=5e-5)


@pytest.mark.local_data
def test_real_cifar10_as_jpeg(tmp_path, local_data):
    spec = {"name": "image_folder", "source": str(local_data / "cifar10-jpeg.tar.xz"), "image_size": 32}
    cifar = dataset(tmp_path / "raw", **spec)
    cifar.fetch()
    images = cifar.read()
    assert images.train.images.shape == (50_000, 3, 32, 32)
    assert np.bincount(images.test.labels).tolist() == [1000] * 10
