"""Networks of committed records, trained again."""

import json
import math

import pytest
from commands import reslab
from project import SMALL_PARAMS, call

from reslab import config
from reslab.cli.verify import verify
from reslab.errors import UserError
from reslab.runs import network_files, records
from reslab.runs.identity import identity
from reslab.weights import again as again_module
from reslab.weights.again import Again, Committed


def test_networks_of_committed_records_have_the_same_bytes_again_and_a_changed_number_is_found(project):
    before = sorted(path.name for path in (project / "checkpoints").iterdir())
    same = call(project, "reslab", "verify", "--rows", "plain*", "--seeds", "0")
    assert "identical bytes" in same.stdout and "1 of 1 networks are the same" in same.stdout
    assert sorted(path.name for path in (project / "checkpoints").iterdir()) == before  # as if nothing had been trained

    change_a_loss(project, "own-tau", seed=1, epoch=2)
    changed = call(project, "reslab", "verify", "small", "--seeds", "1", check=False)
    assert changed.returncode == 2, changed.stderr
    assert "differs from epoch 2 on" in changed.stdout and "1 of 2 networks are the same" in changed.stdout


def change_a_loss(project, experiment: str, *, seed: int, epoch: int) -> None:
    """Let the committed record tell of other weights and of another loss."""
    summary, history = (project / "metrics" / place for place in (f"runs/{experiment}.json", f"history/{experiment}.csv"))
    found, rows = network_files.experiment_record(summary), records.read_history(history)
    for row in rows:
        if (row["seed"], row["epoch"]) == (seed, epoch):
            row["train_loss"] = math.nextafter(row["train_loss"], 1)
    for run in found["runs"]:
        run["checksums"]["model.safetensors"] = "0" * 64
    listed = {history.name: records.write_history(history, rows)}
    network_files.write_experiment(summary, experiment, found["runs"], checksums=listed)


def test_what_is_not_there_is_said(trained, monkeypatch):
    monkeypatch.chdir(trained)
    with pytest.raises(UserError, match=r"^study other: not that of params\.yaml, and not in results/, which has: "):
        reslab("verify", "other")
    with pytest.raises(UserError, match=r"^metrics: no record of seed 7; it has those of 0, 1$"):
        reslab("verify", "--seeds", "7")


@pytest.mark.parametrize("where", ["dataset", "model", "augment", "loss", "optimizer", "schedule", "normalize"])
def test_code_that_a_strangers_study_names_runs_only_where_that_is_wished(tmp_path, monkeypatch, where):
    study = config.parse_yaml(SMALL_PARAMS)
    own = {"name": f"stranger_of_{where}:run"}
    study |= {where: [own] if where == "augment" else own}
    write_stranger(tmp_path, study)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=rf"^stranger/params.yaml: names code that would run here: 'stranger_of_{where}:run'; if"):
        verify("stranger", None, None, tmp_path, run_code=False)
    with pytest.raises(UserError, match=r"plain-tau.json: no such file"):  # one step further: there are no records
        verify("stranger", None, None, tmp_path, run_code=True)
    assert not (tmp_path / "ran").exists()


def write_stranger(folder, study: dict) -> None:
    """A study in the folder `stranger`, and modules in plugins/ that say that they ran."""
    (folder / "stranger").mkdir()
    (folder / "stranger" / "params.yaml").write_text(json.dumps(study))
    (folder / "plugins").mkdir()
    for name in study:
        (folder / "plugins" / f"stranger_of_{name}.py").write_text("open('ran', 'w')\n")


def test_a_description_that_names_other_code_than_the_study_is_made_anew(tmp_path, monkeypatch):
    """Its identity says nothing: whoever writes a record can compute it."""
    study = config.parse(config.parse_yaml(SMALL_PARAMS))
    sections = study.experiments["plain-tau"].sections
    monkeypatch.setattr(again_module, "description", lambda *_: {"anew": True})
    found = []
    for config_there in (sections, sections | {"model": {"name": "os:system"}}, None, 3, {"model": 7}):
        described = {"identity": "", "experiment": "plain-tau", "config": config_there}
        records.write_record(tmp_path / "plain-tau.json", described)
        expected = identity(described, again_module._sources())
        found.append(again_module.described(study, "plain-tau", None, tmp_path / "plain-tau.json", expected))
    assert found == [{"identity": "", "experiment": "plain-tau", "config": sections}] + 4 * [{"anew": True}]


ROW = {"epoch": 1, "train_loss": 0.5, "test_error": 0.1}
RECORD = {"seed": 0, "status": "finished", "test_error": 0.1, "device": "A", "threads": 1, "checksums": {"model.safetensors": "a"}}


def again(history, **changes) -> Again:
    return Again(Committed("x", RECORD, [ROW], math.nan), json.loads(json.dumps(RECORD)) | changes, history)


def test_a_network_is_the_same_by_its_bytes_or_by_every_number_of_its_history():
    assert again([ROW]).same_weights and again([ROW]).same
    described_otherwise = again([ROW], checksums={"model.safetensors": "b"})
    assert not described_otherwise.same_weights and described_otherwise.same
    for other in ([ROW | {"train_loss": math.nextafter(0.5, 1)}], [ROW | {"train_loss": math.nan}], [], [ROW, ROW | {"epoch": 2}]):
        found = again(other, checksums={"model.safetensors": "b"})
        assert not found.same
        assert found.first_difference == (2 if len(other) == 2 else 1)


def test_what_differs_in_the_environment_is_told():
    assert not list(again([ROW], numerics="native").environment())
    found = again([ROW], device="B", numerics="portable")
    assert list(found.environment()) == [("device", "A", "B"), ("numerics", "native", "portable")]


def test_a_network_is_trained_again_as_its_record_says():
    network = Committed("x", RECORD | {"numerics": "portable", "engine": {"level": "eager", "refused": {}}}, [ROW], math.nan)
    assert network.settings == {"RESLAB_NUMERICS": "portable", "RESLAB_THREADS": "1", "RESLAB_ENGINE": "eager"}
    assert Committed("x", {"seed": 0}, [], math.nan).settings == {}
