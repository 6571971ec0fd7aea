"""The lab's server of compose.yaml, as it is written there: passwords, artifacts through the server, several writers."""

import os
import re
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml
from mlflow.tracking import MlflowClient
from project import free_port
from test_tracking import network

from reslab.tracking import Store, attempt

COMPOSE = yaml.safe_load(Path("compose.yaml").read_text())
SECRETS = {
    "MLFLOW_PASSWORD": "a-long-password",
    "MLFLOW_SECRET": "random",
    "STORE_PASSWORD": "unused",
    "LAB_HOST": "lab-server",
}


def filled(text: str) -> str:
    """A text of compose.yaml with its variables, as docker compose fills them in."""
    return re.sub(r"\$\{(\w+):\?[^}]*\}", lambda match: SECRETS[match[1]], text)


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[str]:
    """The service `mlflow` on this machine, its state and its artifacts in a folder."""
    pytest.importorskip("flask_wtf")  # of mlflow[auth]
    folder, port = tmp_path_factory.mktemp("lab"), free_port()
    ini = folder / "auth.ini"
    ini.write_text(filled(COMPOSE["configs"]["auth"]["content"]).replace("/state/", f"{folder}/"))
    service = COMPOSE["services"]["mlflow"]
    places = {"/state/": f"{folder}/", "s3://mlflow": f"{folder}/artifacts", "=5000": f"={port}", ":5000": f":{port}"}
    command = [filled(part) for part in service["command"]]
    for written, here in places.items():
        command = [part.replace(written, here) for part in command]
    environment = {
        name: filled(value) for name, value in service["environment"].items() if not name.startswith(("AWS", "MLFLOW_S3"))
    }
    environment |= {"MLFLOW_AUTH_CONFIG_PATH": str(ini), "MLFLOW_DISABLE_TELEMETRY": "true"}
    with (folder / "log.txt").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *command], env=os.environ | environment, start_new_session=True, stdout=log, stderr=log
        )
    for _ in range(1200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        assert process.poll() is None, (folder / "log.txt").read_text()[-2000:]
        time.sleep(0.1)
    yield f"http://localhost:{port}"
    os.killpg(process.pid, 9)
    process.wait()


@pytest.fixture
def with_password(server, monkeypatch) -> str:
    """The server, and the environment of a user of it."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "admin")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", SECRETS["MLFLOW_PASSWORD"])
    return server


@pytest.mark.slow
def test_several_write_to_the_server_of_a_lab_at_once(with_password, tmp_path, capsys):
    """Runs and artifacts go through the server: nobody has a password of the store behind it."""
    trained = [network(tmp_path / str(seed), seed=seed, identity=f"of{seed}") for seed in range(3)]
    stores = [Store(tmp_path, "lab")] + [Store(tmp_path, "lab") for _ in trained[1:]]
    with ThreadPoolExecutor(3) as pool:
        logged = list(pool.map(lambda pair: pair[0].log(pair[1]), zip(stores, trained, strict=True)))
    assert capsys.readouterr().out == ""  # stdout is for results; MLflow writes its addresses there
    client = MlflowClient(with_password)
    found = client.search_runs([client.get_experiment_by_name("lab").experiment_id], "tags.kind = 'network'")
    assert {run.info.run_id for run in found} == set(logged)
    assert len(set(logged)) == 3
    assert all(run.data.metrics["test/error"] == pytest.approx(0.5 / 400) for run in found)
    assert {file.path for file in client.list_artifacts(logged[0])} == {"record.json", "history.csv"}
    assert Path(client.download_artifacts(logged[0], "record.json")).read_text() == (tmp_path / "0" / "record.json").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("password", [None, "a-wrong-password"])
def test_a_server_that_asks_for_a_password_is_a_warning_with_the_mend(with_password, tmp_path, monkeypatch, capsys, password):
    monkeypatch.delenv("MLFLOW_TRACKING_PASSWORD") if password is None else monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", password)
    trained = network(tmp_path / "a")
    attempt(lambda: Store(tmp_path, "lab").log(trained), trained.name)
    message = capsys.readouterr().err
    assert message.startswith("warning: resnet20-s0 not logged to MLflow (")
    assert "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD" in message
    assert "`reslab relog` will log it" in message


@pytest.mark.slow
def test_a_server_that_has_another_name_says_so(with_password, tmp_path, monkeypatch, capsys):
    """127.0.0.1 is not among the hosts of compose.yaml; localhost is."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", with_password.replace("localhost", "127.0.0.1"))
    trained = network(tmp_path / "a")
    attempt(lambda: Store(tmp_path, "lab").log(trained), trained.name)
    assert "the server answers only to its own name" in capsys.readouterr().err


@pytest.mark.slow
def test_the_page_s_command_makes_an_account(with_password, monkeypatch):
    (written,) = re.findall(r"^curl .*$", Path("docs/lab.md").read_text(), re.MULTILINE)
    command = written.replace("admin:at-least-12-letters-and-digits", f"admin:{SECRETS['MLFLOW_PASSWORD']}")
    subprocess.run([*shlex.split(command.replace("http://lab-server:5000", with_password)), "--fail", "--silent"], check=True)
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ada")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "a-long-password")
    assert MlflowClient(with_password).search_experiments()
