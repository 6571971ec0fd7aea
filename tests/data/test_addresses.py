"""Where a source may be: addresses with queries, file:// addresses, servers that break off."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from test_image_folder import dataset, write_archive, write_folder

from reslab.data.datasets.addresses import is_url, local_path, named
from reslab.errors import UserError


class Handler(BaseHTTPRequestHandler):
    """Sends `content` for every address, or breaks off as the address says."""

    content = b""

    def do_GET(self):
        if "missing" in self.path:
            self.send_error(404)
            return
        self.send_response(200)
        if "unsized" not in self.path:
            self.send_header("Content-Length", str(len(self.content)))
        self.end_headers()
        self.wfile.write(self.content[: len(self.content) // 2] if "broken" in self.path else self.content)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(tmp_path):
    Handler.content = write_archive(tmp_path / "x.zip").read_bytes()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    "path",
    [
        "/x.zip",
        "/x.zip?token=a/b&dl=1#part",
        "/records/17/files/x.zip/content",
        "/download?id=9",
        "/mein bild/ü.zip?a=b c",
        "/unsized",
        "/",
    ],
)
@pytest.mark.parametrize("stored", ["pixels", "files"])
def test_an_archive_on_the_web(tmp_path, server, path, stored):
    images = dataset(tmp_path / "raw", f"http://{server}{path}", stored=stored)
    images.fetch()
    assert len(images.read().train) == 3
    assert sorted(path.name for path in (tmp_path / "raw").iterdir()) == ["found.json", "images.tar"]


@pytest.mark.parametrize(
    ("path", "message"),
    [("/missing.zip", "download failed (HTTP Error 404"), ("/broken.zip", "download ended after"), ("/broken/unsized", "damaged")],
)
def test_a_download_that_fails_leaves_nothing_and_no_secret(tmp_path, server, path, message):
    with pytest.raises(UserError) as caught:
        dataset(tmp_path / "raw", f"http://{server}{path}?token=secret").fetch()
    assert not (tmp_path / "raw").exists()
    assert "secret" not in str(caught.value)
    assert message in str(caught.value)


def test_the_rest_of_a_killed_download_is_not_taken_for_one(tmp_path, server):
    (tmp_path / "raw" / ".download").mkdir(parents=True)
    (tmp_path / "raw" / ".download" / "x.zip").write_bytes(b"half")
    images = dataset(tmp_path / "raw", f"http://{server}/x.zip")
    images.fetch()
    assert len(images.read().train) == 3


def test_a_file_address_is_a_path(tmp_path):
    write_folder(tmp_path / "my images")
    for address in (f"file://{tmp_path}/my%20images", f"file://localhost{tmp_path}/my%20images", f"FILE://{tmp_path}/my images"):
        images = dataset(tmp_path / "raw", address)
        images.fetch()
        assert len(images.read().train) == 3


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("s3://bucket/x.zip", "addresses of kind 's3' are not read"),
        ("file://host/x.zip", "is on another machine"),
        ("://x", "kind ''"),
        ("https://me:secret@host/x.zip", r"^https://host/x.zip: addresses with a password are not read"),
    ],
)
def test_other_addresses_are_refused(tmp_path, address, message):
    images = dataset(tmp_path / "raw", address)
    with pytest.raises(UserError, match=message):
        images.fetch()


def test_paths_are_paths():
    assert not is_url("images/x?.zip") and local_path("images/x?.zip") == Path("images/x?.zip")
    assert is_url("https://x.org/a.tar?b") and named("https://me:secret@x.org/a.tar?b=secret") == "https://x.org/a.tar"


@pytest.mark.parametrize("source", ["x" * 5000, "a/" * 3000, "http://[::1/x.zip", "http:///x.zip", "nothing\0here"])
def test_what_is_no_place_at_all_is_one_line(tmp_path, source):
    with pytest.raises(UserError) as caught:
        dataset(tmp_path / "raw", source).fetch()
    assert len(str(caught.value)) < 400
