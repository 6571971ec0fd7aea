"""params.yaml edited while a stage runs: DVC notes what is there at the end, so the stage must not pass for done."""

import re
import shutil
from pathlib import Path

import pytest
from commands import NO_MLFLOW, stage
from project import edit

from reslab.config import read_yaml

OWN = """
from pathlib import Path
from reslab.data.datasets.digits import Digits

class Edits:
    def __init__(self, raw, *, at: str, size: int = 1):
        self.digits, self.at = Digits(raw), at
    def fetch(self):
        self._edit("fetch")
        return self.digits.fetch()
    def read(self):
        self._edit("read")
        return self.digits.read()
    def _edit(self, at):
        if at == self.at:
            path = Path("params.yaml")
            path.write_text(path.read_text().replace("size: 1", "size: 2"))
"""
SAID = "error: params.yaml: was edited while this stage ran; run `dvc repro` again: what is finished is kept"


@pytest.mark.parametrize(("at", "command"), [("fetch", ("fetch.py", "raw")), ("read", ("preprocess.py", "raw", "made"))])
def test_a_dataset_is_that_of_the_settings_or_the_stage_fails(project, at, command):
    (project / "plugins" / "edits.py").write_text(OWN)
    edit(project, "params.yaml", "name: digits", f"name: 'edits:Edits'\n  at: {at}\n  size: 1")
    shutil.copytree(project / "data" / "raw", project / "raw")
    done = stage(project, *command)
    assert (done.returncode, done.stderr.strip()) == (1, SAID)
    done = stage(project, *command)  # nobody edits it again
    assert done.returncode == 0, done.stderr


NET = """
from contextlib import suppress
from pathlib import Path
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, in_channels: int, num_classes: int):
        super().__init__()
        self.linear = nn.Linear(64, num_classes)
        with suppress(FileNotFoundError):  # once, however many are built
            old, new = Path("edit").rename("edited").read_text().split(">")
            path = Path("params.yaml")
            path.write_text(path.read_text().replace(old, new, 1))
    def forward(self, images):
        return self.linear(images.flatten(1))
"""
DESCRIBE = ("describe.py", "plain-tau", "metrics/models/plain-tau.json")
TRAIN = ("train.py", "plain-tau", "metrics/models/plain-tau.json", "data/runs/plain-tau")


def test_an_experiment_is_described_and_trained_as_the_settings_say_or_the_stage_fails(project):
    """An edit of what a stage does not depend on is none of its business."""
    (project / "plugins" / "edits.py").write_text(NET)
    model = "  name: tau_resnet\n  depth: 8\n  norm: batch\n  tau: 1.0\n"
    edit(project, "params.yaml", model, "  name: 'edits:Net'\n")
    edit(project, "params.yaml", "      norm: none\n      tau: 1/sqrt(L)\n", "      name: resnet\n      depth: 8\n")
    for old, new, harms in (("title: Small", "title: Other", False), ("lr: 0.1", "lr: 0.2", True)):
        (project / "edit").write_text(f"{old}>{new}")
        done = stage(project, *DESCRIBE)
        assert (done.returncode, done.stderr.strip()) == ((1, SAID) if harms else (0, ""))
    assert stage(project, *DESCRIBE).returncode == 0
    (project / "edit").write_text("- 1\n>- 1\n- 2\n")
    done = stage(project, *TRAIN, **NO_MLFLOW)
    assert (done.returncode, done.stderr.strip().splitlines()[-1]) == (1, SAID)
    assert stage(project, *TRAIN, **NO_MLFLOW).returncode == 0
    assert (project / "data/runs/plain-tau/seed2").is_dir()


def test_code_that_was_changed_after_it_was_described_trains_nothing(project):
    """Its network would be kept under the identity of the code before, and a checkpoint of one go on with the other."""
    (project / "plugins" / "edits.py").write_text(NET)
    edit(project, "params.yaml", "  depth: 8\n  norm: batch\n  tau: 1.0\n", "")
    edit(project, "params.yaml", "      norm: none\n      tau: 1/sqrt(L)\n", "      name: resnet\n      depth: 8\n")
    edit(project, "params.yaml", "name: tau_resnet\n", "name: 'edits:Net'\n")
    assert stage(project, *DESCRIBE).returncode == 0
    edit(project, "plugins/edits.py", "images.flatten(1)", "-images.flatten(1)")
    done = stage(project, *TRAIN, **NO_MLFLOW)
    assert done.returncode == 1
    assert "the code of edits:Net was changed after the experiment was described; run `dvc repro` again" in done.stderr
    assert not list((project / "checkpoints").rglob("checkpoint.pt"))


def test_every_stage_that_takes_more_than_a_moment_looks_at_its_settings_again():
    """All that DVC makes depend on params.yaml, but the one that checks names, which takes no time."""
    root = Path(__file__).parents[2]
    stages = {}
    for path in (root / "dvc.yaml", root / "layers" / "dvc.yaml"):
        stages |= {name: stage.get("do", stage) for name, stage in read_yaml(path)["stages"].items()}
    depend = [name for name, stage in stages.items() if "params" in stage or "params.yaml" in str(stage.get("deps"))]
    scripts = {re.search(r"stages/(\w+\.py)", str(stages[name]["cmd"])).group(1) for name in depend} - {"names.py"}
    assert scripts >= {"fetch.py", "preprocess.py", "check.py", "describe.py", "train.py", "aggregate.py", "layers.py"}
    assert [name for name in sorted(scripts) if "check_still(" not in (root / "stages" / name).read_text()] == []
