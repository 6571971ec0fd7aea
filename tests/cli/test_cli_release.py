"""`reslab release` of a really trained study, and what takes its archive."""

import contextlib
import json
import subprocess
import zipfile
from pathlib import Path

import pytest
from commands import reslab
from PIL import Image
from project import call, digest

from reslab.errors import UserError
from reslab.runs.records import write_record
from reslab.weights.network import load_network

NAME = "small-weights.zip"


@pytest.fixture(scope="module")
def archive(trained, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("release") / NAME
    with contextlib.chdir(trained):
        printed = reslab("release", "--output", str(path))
    assert f"{path}: 3 networks of small; use one as {path}/plain-tau-s0" in printed  # one is no better than a guess
    return path


def run_in(folder: Path, *command: str) -> str:
    with contextlib.chdir(folder):
        return reslab(*command)


def test_a_released_network_answers_and_scores_as_the_trained_one(trained, archive, tmp_path):
    Image.new("L", (8, 8), 128).save(tmp_path / "grey.png")
    for command in (["score"], ["predict", str(tmp_path / "grey.png")]):
        ours, theirs = (
            run_in(trained, command[0], network, *command[1:])
            for network in ("data/runs/plain-tau/seed0", f"{archive}/plain-tau-s0")
        )
        assert ours == theirs
    target = str(tmp_path / "imported")
    run_in(trained, "import-weights", f"{archive}/plain-tau-s0", "plain-tau", "--key-map", "reslab", "--output", target)
    assert run_in(trained, "score", target).startswith(run_in(trained, "score", "data/runs/plain-tau/seed0"))  # then: not proven


def test_a_release_has_cards_checksums_and_the_study(trained, archive, tmp_path):
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(tmp_path)
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=tmp_path, check=True)
    card = (tmp_path / "plain-tau-s1" / "README.md").read_text()
    record = load_network(tmp_path / "plain-tau-s1").description
    for text in (
        "license: MIT",
        "test error |",
        "95 % interval over test images [",
        "model.depth: 8",
        record["dataset"]["checksum"],
    ):
        assert text in card
    assert "1 network(s) that diverged or did not train are not in it" in (tmp_path / "README.md").read_text()
    assert (tmp_path / "params.yaml").read_text() == (trained / "params.yaml").read_text()
    again = tmp_path / "again" / NAME
    run_in(trained, "release", "--output", str(again), "--licence", "MIT")
    assert digest(again) == digest(archive)


@pytest.mark.parametrize(
    ("inside", "message"),
    [
        ("", "holds several networks; give one as small-weights.zip/NETWORK: own-tau-s1, plain-tau-s0"),
        ("plain-tau-s7", "no network 'plain-tau-s7' in it"),
    ],
)
def test_which_network_is_asked_for(archive, inside, message):
    with pytest.raises(UserError, match=message):
        load_network(archive / inside)


def test_a_damaged_or_foreign_archive_is_refused(archive, tmp_path):
    damaged = bytearray(archive.read_bytes())
    damaged[len(damaged) // 3] ^= 1
    (tmp_path / NAME).write_bytes(damaged)
    networks = ("plain-tau-s0", "plain-tau-s1", "own-tau-s0", "own-tau-s1")
    with pytest.raises(UserError, match=r"damaged archive|no network"):
        for name in networks:
            load_network(tmp_path / NAME / name)
    (tmp_path / "text.zip").write_text("no archive")
    with pytest.raises(UserError, match=r"text\.zip: damaged archive"):
        load_network(tmp_path / "text.zip" / "a")
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("a/model.safetensors", bytes(10**6))
    with pytest.raises(UserError, match="compressed or larger"):
        load_network(tmp_path / "bomb.zip" / "a")


def test_networks_that_are_not_there_are_not_released(project):
    call(project, "rm", "-r", "data/runs/plain-tau/seed1")
    with pytest.raises(UserError, match="data/runs/plain-tau/seed1: no such folder"):
        run_in(project, "release")
    assert not (project / NAME).exists()


def test_a_network_of_other_records_is_not_released(project):
    """The error on a card is that of the weights beside it."""
    path = project / "metrics" / "runs" / "plain-tau.json"
    record = json.loads(path.read_text())
    record["runs"][0]["identity"] = "another"
    write_record(path, {key: value for key, value in record.items() if not key.startswith("file_")})
    with pytest.raises(UserError, match="data/runs/plain-tau/seed0: not the network that the study's records tell of"):
        run_in(project, "release")
