"""The model registry, with the real pipeline and the real `mlflow models predict`."""

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest
from commands import reslab
from mlflow.tracking import MlflowClient
from PIL import Image
from project import call, edit, records, runs_in_mlflow
from scipy.special import softmax

from reslab.data import prepared
from reslab.errors import UserError
from reslab.tracking import TrainedNetwork
from reslab.tracking.registry import best


def network(seed: int, status: str = "finished", **record) -> TrainedNetwork:
    return TrainedNetwork("resnet20", {"seed": seed, "status": status, **record}, [], Path())


def test_the_best_is_lowest_in_validation_error_then_loss_and_did_not_diverge():
    networks = [
        network(0, validation_error=0.2, validation_loss=1.0, test_error=0.0),
        network(1, validation_error=0.1, validation_loss=2.0, test_error=0.9),
        network(2, validation_error=0.1, validation_loss=1.0, test_error=0.9),
        network(3, "diverged", validation_error=0.0, validation_loss=None),
    ]
    assert best(networks, "s").record["seed"] == 2


@pytest.mark.parametrize(
    ("networks", "message"),
    [
        ([], "no trained networks to choose from"),
        ([network(0, "diverged")], "all 1 networks diverged"),
        ([network(0, test_error=0.1)], "the test set selects nothing"),
        ([network(0, validation_error=0.1), network(1, test_error=0.1)], "the test set selects nothing"),
    ],
)
def test_without_a_choice_that_is_allowed_nothing_is_chosen(networks, message):
    with pytest.raises(UserError, match=f"study s: .*{message}"):
        best(networks, "s")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--best"], "because the test set selects nothing: set `dataset.validation` in params.yaml"),
        (["--best", "own-tau"], "--best chooses by validation error: leave out EXPERIMENT and --seed"),
        (["--best", "--seed", "1"], "leave out EXPERIMENT and --seed"),
        ([], "EXPERIMENT is one of plain-tau, own-tau; or --best"),
        (["own"], "own"),
        (["own-tau", "--seed", "7"], "data/runs/own-tau/seed7"),
    ],
)
def test_register_says_what_it_needs(trained, arguments, message, monkeypatch):
    monkeypatch.chdir(trained)
    with pytest.raises(UserError, match=re.escape(message)):
        reslab("register", *arguments)


def test_register_names_a_store_that_is_not_there_or_answers_nonsense(trained, monkeypatch):
    monkeypatch.chdir(trained)
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:  # which knows no request
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for port in (9, server.server_port):
            monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://user:secret@127.0.0.1:{port}")
            with pytest.raises(UserError, match=r"^MLflow store http://\*\*\*@127\.0\.0\.1:\d+: (?!.*secret)"):
                reslab("register", "own-tau")
        server.shutdown()


@pytest.fixture
def tuned(project) -> Path:
    """The small study with one seed and a validation split."""
    edit(project, "params.yaml", "- 0\n- 1\n", "- 0\n")
    edit(project, "params.yaml", "name: digits", "name: digits\n  validation: 100")
    call(project, "dvc", "repro", "train")
    return project


@pytest.mark.slow
def test_mlflow_serves_the_best_of_the_study_as_reslab_predicts(tuned, tmp_path, monkeypatch):
    said = call(tuned, "reslab", "register", "--best").stdout.splitlines()
    found = records(tuned)
    experiment, seed = min(found, key=lambda key: (found[key]["validation_error"], found[key]["validation_loss"]))
    assert said[-2:] == [
        f"{experiment}-s{seed}: validation error {found[experiment, seed]['validation_error']:.2%}",
        "models:/small-best/1",
    ]
    images = prepared.load(tuned / "data" / "prepared").test.images[:3]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "input.json").write_text(json.dumps({"inputs": images.astype(float).tolist()}))
    for number, image in enumerate(images):
        Image.fromarray(image[0]).save(elsewhere / f"{number}.png")

    folder = tuned / "data" / "runs" / experiment / f"seed{seed}"
    table = reslab("predict", str(folder), *(str(elsewhere / f"{n}.png") for n in range(3)), "--top", "1")
    ours = re.findall(r"\.png\s+(\d)\s+([01]\.\d+)", table)

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tuned / 'mlflow.db'}")
    monkeypatch.setenv("PYTHONPATH", str(blocked(tmp_path)))
    command = ["mlflow", "models", "predict", "-m", "models:/small-best/1", "-i", "input.json", "--env-manager", "local"]
    answer = call(elsewhere, *command, "-o", "output.json")
    assert answer.returncode == 0
    theirs = softmax(np.array(json.loads((elsewhere / "output.json").read_text())["predictions"]), axis=1)
    assert [str(which) for which in theirs.argmax(1)] == [which for which, _ in ours]
    assert theirs.max(1) == pytest.approx([float(probability) for _, probability in ours], abs=1e-4)

    client = MlflowClient()
    version = client.get_model_version("small-best", "1")
    assert (version.tags["experiment"], version.tags["seed"]) == (experiment, str(seed))
    assert version.run_id in {run.info.run_id for run in runs_in_mlflow(tuned)}


def blocked(folder: Path) -> Path:
    """A folder of Python's path in which `reslab` cannot be imported: whoever serves the model has no such package."""
    (folder / "blocked" / "reslab").mkdir(parents=True)
    (folder / "blocked" / "reslab" / "__init__.py").write_text("raise ImportError('reslab was asked for')\n")
    return folder / "blocked"
