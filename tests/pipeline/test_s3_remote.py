"""A remote on S3, served on this machine by moto over HTTP: what one pushes, a colleague pulls, and nothing trains again."""

import boto3
import pytest
from moto.server import ThreadedMotoServer
from project import call, commit, copy, starts

BUCKET = "reslab"


@pytest.fixture
def address(monkeypatch):
    """The address of a server of S3 with an empty bucket; DVC finds its keys where users have theirs."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "colleague")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    boto3.client("s3", endpoint_url=f"http://{host}:{port}").create_bucket(Bucket=BUCKET)
    yield f"http://{host}:{port}"
    server.stop()


@pytest.mark.slow
def test_a_study_on_s3_is_pulled_and_not_trained(trained, tmp_path, address):
    ours, theirs = copy(trained, tmp_path / "ours"), tmp_path / "theirs"
    call(ours, "dvc", "remote", "add", "-d", "store", f"s3://{BUCKET}/studies")
    call(ours, "dvc", "remote", "modify", "store", "endpointurl", address)
    commit(ours, "a remote")
    assert "files pushed" in call(ours, "dvc", "push").stdout
    assert "in sync" in call(ours, "dvc", "status", "--cloud").stdout
    call(tmp_path, "git", "clone", "--quiet", str(ours), str(theirs))
    call(theirs, "dvc", "pull")
    printed = call(theirs, "dvc", "repro").stdout
    assert "Data and pipelines are up to date." in printed
    assert "Running stage" not in printed
    assert starts(theirs) == starts(ours)
    assert call(theirs, "git", "status", "--porcelain").stdout == ""
