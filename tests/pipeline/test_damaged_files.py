"""Files of a trained study that were damaged, edited or swapped: every stage and command that reads one refuses it by name."""

import os
import re
import shutil
import time
from pathlib import Path

import pytest
from commands import NO_MLFLOW, reslab, stage, stage_here
from project import edit, records

from reslab import config
from reslab.data import prepared
from reslab.errors import UserError
from reslab.runs.records import read_record, write_record
from reslab.weights import layers

NETWORK = "data/runs/own-tau/seed0"
TRAIN = ("train.py", "own-tau", "metrics/models/own-tau.json", "data/runs/own-tau")
EVALUATE = ("evaluate.py", "own-tau", "data/runs/own-tau", "a.json", "a.csv", "predictions")


def flip(path: Path, at: float = 0.7) -> None:
    """Change one bit of a file, of a weight where it is a file of weights."""
    content = bytearray(path.read_bytes())
    content[int(at * len(content))] ^= 64
    path.unlink()  # a link into DVC's cache stays whole there
    path.write_bytes(content)


def refused(done, *said: str) -> None:
    """A stage ended in one line that says this."""
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert "Traceback" not in done.stderr
    for part in said:
        assert part in done.stderr, done.stderr


def test_a_damaged_finished_network_is_refused_and_trains_again_once_it_is_deleted(project):
    identity = records(project)["own-tau", 0]["identity"]
    finished = project / "checkpoints" / identity / "seed0" / "finished"
    weights = (finished / "model.safetensors").read_bytes()
    history = (finished / "history.csv").read_bytes()
    for name in ("model.safetensors", "history.csv", "record.json"):
        whole = (finished / name).read_bytes()
        flip(finished / name, 0.5)
        refused(stage_here(project, *TRAIN), f"{finished}", f"; delete {finished} and run the same command to train seed 0 again")
        (finished / name).write_bytes(whole)
    shutil.rmtree(finished)
    done = stage(project, *TRAIN, **NO_MLFLOW)
    assert done.returncode == 0, done.stderr
    assert (project / NETWORK / "model.safetensors").read_bytes() == weights
    assert (project / NETWORK / "history.csv").read_bytes() == history


@pytest.mark.parametrize("name", ["model.safetensors", "history.csv", "record.json"])
def test_a_damaged_network_is_refused_wherever_it_is_read(project, name, tmp_path, monkeypatch):
    flip(project / NETWORK / name, 0.5)
    monkeypatch.chdir(project)
    refused(stage_here(project, *EVALUATE), f"{NETWORK}/{name}: ", "; delete it and run `dvc repro`")
    assert not (project / "a.json").exists()
    commands = [["relog"], ["register", "own-tau"]]
    if name != "history.csv":  # which these do not read
        commands += [["score", NETWORK], ["predict", NETWORK, "x.png"], ["export", NETWORK, "--safetensors", str(tmp_path / "x")]]
    if name == "model.safetensors":
        commands.remove(["relog"])
    for command in commands:
        with pytest.raises(UserError, match=rf"{NETWORK}/{re.escape(name)}: "):
            reslab(*command)
    assert not (tmp_path / "x").exists()


def test_an_error_other_than_the_trainings_is_no_result(project):
    path = project / NETWORK / "record.json"
    record = read_record(path)
    write_record(path, record | {"test_error": 1 - record["test_error"]})
    mend = f"delete checkpoints/{record['identity']}"
    refused(stage_here(project, *EVALUATE), "own-tau seed 0: test error", "when it was trained", mend)


def edit_error(path: Path) -> None:
    path.write_text(re.sub(r'"test_error": 0\.\d+', '"test_error": 0.0', path.read_text()))


def empty(path: Path) -> None:
    path.write_text("")


def swap_seed(path: Path) -> None:
    shutil.copy(path.parents[1] / "seed1" / path.name, path)


HARM = {
    "metrics/environments/own-tau.json": empty,
    "metrics/runs/own-tau.json": edit_error,
    "metrics/history/own-tau.csv": empty,
    "data/predictions/plain-tau/seed0/test.safetensors": swap_seed,
}


def test_an_edited_record_an_empty_history_and_swapped_predictions_make_no_tables(project):
    table = project / "metrics/tables/results.md"
    before = table.read_bytes()
    for name, harm in HARM.items():
        path = project / name
        whole = path.read_bytes()
        path.unlink()  # a link into DVC's cache stays whole there
        path.write_bytes(whole)
        harm(path)
        refused(stage_here(project, "aggregate.py", "metrics"), f"{name}: ", "dvc repro")
        path.write_bytes(whole)
    assert table.read_bytes() == before


def test_damaged_prepared_data_trains_and_scores_nothing(project):
    prepared = project / "data/prepared"
    for path in prepared.iterdir():
        whole = path.read_bytes()
        flip(path, 0.9)
        for command in (EVALUATE, ("describe.py", "own-tau", "m.json"), ("check.py", "data/prepared", "c.txt")):
            refused(stage_here(project, *command), "data/prepared", "; delete data/prepared and run `dvc repro preprocess`")
        path.write_bytes(whole)


def as_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def as_device(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def as_terabyte(path: Path) -> None:
    """With its own beginning; a copy, for a link into DVC's cache stays whole there."""
    whole = path.read_bytes()
    path.unlink()
    path.write_bytes(whole)
    os.truncate(path, 2**40)


@pytest.mark.parametrize("harm", [as_pipe, as_device, as_terabyte])
def test_data_and_weights_that_have_no_end_are_refused_at_once(project, monkeypatch, harm):
    monkeypatch.chdir(project)
    for name in ("data/prepared/train_images.npy", f"{NETWORK}/model.safetensors"):
        kept = Path(name).read_bytes()
        harm(Path(name))
        began = time.monotonic()
        with pytest.raises(UserError, match="data/"):
            reslab("score", NETWORK)
        assert time.monotonic() - began < 5
        Path(name).unlink()
        Path(name).write_bytes(kept)


WHOSE = "data/runs/.*/seed[01]: (was trained with other settings|holds seed)"


def swap(one: Path, other: Path) -> None:
    """Let two folders change places."""
    one.rename(aside := one.with_name("aside"))
    other.rename(one)
    aside.rename(other)


@pytest.mark.parametrize(
    ("place", "said"), [("plain-tau", "other settings than params.yaml has for own-tau"), ("own-tau/seed1", "holds seed 1")]
)
def test_whole_networks_in_the_place_of_others_are_taken_for_none(project, monkeypatch, place, said):
    """Every checksum is right."""
    runs = project / "data" / "runs"
    swap(runs / place, runs / "own-tau" / ("seed0" if "/" in place else ""))
    monkeypatch.chdir(project)
    with pytest.raises(UserError, match=f"{NETWORK}: .*{said}"):
        reslab("register", "own-tau")
    with pytest.raises(UserError, match=WHOSE):
        reslab("relog")
    with pytest.raises(UserError, match=r"data/runs/.*/seed[01]: not the network that the study's records tell of"):
        reslab("release")
    study = config.load(Path("params.yaml"))
    series = dict.fromkeys(study.experiments, "")
    with pytest.raises(UserError, match=WHOSE):
        list(layers.networks(study, prepared.load(Path("data/prepared")), Path("data/runs"), series))


def test_a_study_that_was_edited_has_no_results_before_it_is_trained(project, monkeypatch):
    """A table, a figure or a release of today's settings with the numbers of yesterday's would be wrong without a word."""
    params = project / "params.yaml"
    whole = params.read_text()
    monkeypatch.chdir(project)
    for old, new in (("lr: 0.1", "lr: 0.2"), ("  name: digits\n", "  name: digits\n  validation: 100\n")):
        assert old in whole
        params.write_text(whole.replace(old, new, 1))
        for command in (["readme"], ["figures"], ["release"], ["relog"], ["register", "own-tau"]):
            with pytest.raises(UserError, match=r"was trained with other settings than params\.yaml has for .*; run `dvc repro`"):
                reslab(*command)
        refused(stage_here(project, "aggregate.py", "metrics"), "metrics/runs/plain-tau.json: was trained with other settings")


ELSEWHERE = {
    "the project": (*TRAIN[:-1], "."),
    "the data": (*TRAIN[:-1], "data"),
    "the code": (*TRAIN[:-1], "src"),
    "predictions in place of networks": (*EVALUATE[:-1], "data/runs/own-tau"),
    "predictions in the project": (*EVALUATE[:-1], "."),
    "layers": ("layers.py", "data/runs", "data", "metrics/layers"),
    "layers in the project": ("layers.py", "data/runs", "data/layers", "."),
    "sheets of mistakes": ("aggregate.py", "metrics", "--sheets", "data/runs"),
}


@pytest.mark.parametrize("arguments", ELSEWHERE.values(), ids=ELSEWHERE.keys())
def test_a_stage_that_is_called_with_another_folder_does_not_empty_it(project, arguments):
    def files():
        return {path for path in project.rglob("*") if not {"tables", "curves", ".git"} & {*path.parts} and path.suffix != ".lock"}

    before = files()
    refused(stage_here(project, *arguments, **NO_MLFLOW), ": holds ", ", which is not made here; give another folder")
    assert before <= files()


def test_a_description_of_another_experiment_trains_nothing_under_this_name(project):
    """MLflow would show its numbers."""
    said = "metrics/models/plain-tau.json: does not describe own-tau as it is now; run `dvc repro describe`"
    refused(stage_here(project, "train.py", "own-tau", "metrics/models/plain-tau.json", "data/runs/own-tau"), said)
    edit(project, "params.yaml", "epochs: 2", "epochs: 3")
    refused(stage_here(project, *TRAIN), "metrics/models/own-tau.json: does not describe own-tau as it is now")
