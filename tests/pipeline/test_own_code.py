"""One's own network and a fine-tuned one through the real pipeline: trained again only when their code does something else."""

import contextlib
import json
import shutil
import zipfile
from pathlib import Path

import pytest
from project import call, edit, records, starts

from reslab import config
from reslab.data import prepared
from reslab.weights import layers
from reslab.weights.network import load_network

NET = '''"""Mine."""
from torch import nn


def net(in_channels: int, num_classes: int, *, width: int = 8) -> nn.Module:
    conv, norm = nn.Conv2d(in_channels, width, 3), nn.BatchNorm2d(width)
    return nn.Sequential(conv, norm, nn.ReLU(), nn.Flatten(), nn.Linear(width * 36, num_classes))
'''


def digests(folder: Path) -> dict[str, float]:
    return {name: float(tensor.double().square().sum()) for name, tensor in load_network(folder).network().state_dict().items()}


def measured_at_start(project: Path) -> dict[str, float]:
    """The weights that the layer study takes for those of plain-tau at initialisation."""
    with contextlib.chdir(project):
        study, data = config.load(Path("params.yaml")), prepared.load(Path("data/prepared"))
        _, first = next(layers.networks(study, data, Path("data/runs"), dict.fromkeys(study.experiments, "")))
    return {name: float(tensor.double().square().sum()) for name, tensor in first.module.state_dict().items()}


@pytest.mark.slow
def test_own_code_and_a_start_are_trained_once_and_again_when_they_change(project):
    shutil.copytree(project / "data/runs/plain-tau/seed0", project / "data/imported/start")
    (project / "plugins" / "mine.py").write_text(NET)
    edit(project, "params.yaml", "- 0\n- 1\n", "- 0\n")
    edit(project, "params.yaml", "  plain-tau: {}\n", "  plain-tau: {model: {init_from: data/imported/start}}\n")
    edit(
        project, "params.yaml", "    model:\n      norm: none\n      tau: 1/sqrt(L)\n", "    model: {name: 'mine:net', width: 6}\n"
    )
    said = call(project, "reslab", "check").stdout
    assert "experiments.plain-tau: starts from" in said
    assert "is valid" in said
    call(project, "dvc", "repro", "train@own-tau", "train@plain-tau")
    first = starts(project)
    found = records(project)
    assert found["own-tau", 0]["parameters"] == 9 * 6 + 6 + 12 + 216 * 10 + 10
    assert found["plain-tau", 0]["config"]["model"]["init_from"]["path"] == "data/imported/start"
    assert measured_at_start(project) == digests(project / "data/imported/start")
    check_released(project)
    edit(project, "plugins/mine.py", '"""Mine."""', '"""Mine, with a longer text."""  # and a remark')
    call(project, "dvc", "repro", "-s", "describe@own-tau", "train@own-tau")
    assert starts(project) == first
    described = project / "metrics/models/own-tau.json"
    before = described.read_text()
    edit(project, "plugins/mine.py", "nn.ReLU()", "nn.Tanh()")
    call(project, "dvc", "repro", "-s", "describe@own-tau")
    assert json.loads(described.read_text())["plugins"] != json.loads(before)["plugins"]
    done = call(project, "reslab", "release", check=False)
    assert "error: data/runs/own-tau/seed0: the code of mine:net was changed since it was trained; put it back" in done.stderr


def check_released(project: Path) -> None:
    """A release has the source of one's own network, and its card says what to do with it."""
    call(project, "dvc", "repro", "evaluate@own-tau", "evaluate@plain-tau")
    call(project, "reslab", "release", "--output", "own.zip")
    with zipfile.ZipFile(project / "own.zip") as packed:
        packed.extractall(project / "unpacked")
    unpacked = project / "unpacked"
    call(unpacked, "sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS")
    assert (unpacked / "plugins" / "mine.py").read_text() == NET
    card = (unpacked / "own-tau-s0" / "README.md").read_text()
    assert "| code | `mine:net`, plugins/mine.py |" in card and "put plugins/mine.py into a project" in card
    assert "plugins" not in (unpacked / "plain-tau-s0" / "README.md").read_text()
    assert "test " in call(project, "reslab", "score", "own.zip/own-tau-s0").stdout
