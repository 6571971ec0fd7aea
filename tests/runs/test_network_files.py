"""Swapped, edited and older files of networks: a valid file in another's place is refused as a damaged one is."""

import json
import shutil

import numpy as np
import pytest
import torch
from feeds import Given
from torch import nn

from reslab.errors import UserError
from reslab.experiment.bound import make_schedule
from reslab.report import predictions
from reslab.report.predictions import Predictions, agreement
from reslab.report.predictions.scores import score
from reslab.runs import checksums, network_files, records
from reslab.tracking.networks import TrainedNetwork
from reslab.training import checkpoint
from reslab.training.log import Log
from reslab.training.losses import cross_entropy
from reslab.training.optim.optimizers import sgd
from reslab.training.schedule.schedules import Budget
from reslab.training.step import TrainingStep
from reslab.weights.file import read_sealed, save_weights

NAMES = ("model.safetensors", "history.csv", "record.json")
OWNERS = "seed 0 of abc", "seed 1 of abc"


@pytest.fixture
def seeds(tmp_path):
    """Two networks of an experiment as train leaves them."""
    folders = [tmp_path / f"seed{seed}" for seed in (0, 1)]
    for seed, folder in enumerate(folders):
        folder.mkdir()
        torch.manual_seed(seed)
        listed = {
            "model.safetensors": save_weights(folder / "model.safetensors", nn.Linear(2, 2), {"config": {}}),
            "history.csv": records.write_history(folder / "history.csv", [{"epoch": 1, "test_error": 0.1 * seed}]),
        }
        told = {"identity": "abc", "seed": seed, "status": "finished", "config": {}, "checksums": listed}
        records.write_record(folder / "record.json", told)
        network_files.check_finished(folder, identity="abc", seed=seed)
    return folders


@pytest.mark.parametrize("name", NAMES)
def test_a_file_of_another_seed_is_refused(seeds, name):
    shutil.copy(seeds[1] / name, seeds[0] / name)
    with pytest.raises(UserError, match=r"seed0.*another checksum.*; delete .*seed0 and run the same command"):
        network_files.check_finished(seeds[0], identity="abc", seed=0)


def test_a_whole_folder_of_another_network_is_refused(seeds):
    for asked in ({"identity": "abc", "seed": 0}, {"identity": "other", "seed": 1}):
        with pytest.raises(UserError, match="holds seed 1 of 'abc', another network; delete"):
            network_files.check_finished(seeds[1], **asked)


def test_a_record_that_lists_other_files_fits_none(seeds):
    """A history that its record does not tell of may be any."""
    path = seeds[0] / "record.json"
    told = records.read_record(path)
    records.write_record(path, told | {"checksums": {"history.json": told["checksums"]["history.csv"]}})
    with pytest.raises(UserError, match=r"history\.csv: damaged, or not the file that its record tells of"):
        network_files.read(seeds[0])


@pytest.mark.parametrize("content", ["", "epoch,test_error\n", "epoch,test_error\n1\n", "\0", "a,a\n1,x\n"])
def test_an_empty_or_cut_history_is_refused(seeds, content):
    (seeds[0] / "history.csv").write_text(content)
    with pytest.raises(UserError, match=r"history\.csv: damaged.*; delete it and run `dvc repro`"):
        network_files.read(seeds[0])
    with pytest.raises(UserError, match=r"history\.csv: damaged history"):
        records.read_history(seeds[0] / "history.csv")  # of a record without checksums


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda record: record | {"test_error": 0.0}, "its checksum differs: it was changed after it was written"),
        (lambda record: record | {"seed": 7}, "its checksum differs"),
        (lambda record: {key: value for key, value in record.items() if key != "status"}, "its checksum differs"),
        (lambda record: {key: value for key, value in record.items() if key != "file_checksum"}, "its checksum differs"),
        (lambda record: {key: value for key, value in record.items() if key != "file_format"}, "its file_format is not 2"),
        (lambda record: record | {"file_format": 1}, "its file_format is not 2"),
        (lambda record: record | {"file_format": True}, "its file_format is not 2"),
        (lambda record: dict(list(record.items())[2:]), "carries no checksum"),
        (lambda record: [record], "no JSON object"),
        (lambda record: {"record": record}, "carries no checksum"),
    ],
)
def test_an_edited_record_is_refused(seeds, change, message):
    path = seeds[0] / "record.json"
    path.write_text(json.dumps(change(json.loads(path.read_text())), indent=1))
    with pytest.raises(UserError, match=rf"record\.json: .*{message}.*; delete it and run `dvc repro`"):
        network_files.read(seeds[0])


def test_a_record_may_be_laid_out_anew(seeds):
    """As git does with ends of lines, and editors with the end of a file."""
    path, expected = seeds[0] / "record.json", network_files.read(seeds[0])
    path.write_bytes(json.dumps(json.loads(path.read_text()), indent=4).replace("\n", "\r\n").encode())
    assert network_files.read(seeds[0]) == expected


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"a": NaN}', '{"a": ' + "9" * 5000 + "}", "\ufeff{}", "{", "null", '{"a": 1e999}']
)
def test_what_is_no_record_is_refused_in_one_line(tmp_path, text):
    path = tmp_path / "record.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"record\.json: .*; delete it and run `dvc repro`") as caught:
        records.read_record(path, older=True)
    assert len(str(caught.value)) < len(str(path)) + 300


@pytest.mark.parametrize("number", ["1e999", "-1e999", str(2**63), "9" * 4000, "[" * 200 + "]" * 200])
def test_what_no_record_can_hold_is_refused_although_its_checksum_is_right(tmp_path, number):
    path, content = tmp_path / "record.json", f'"file_format": 2, "value": {number}'
    checksum = checksums.of_value(json.loads(f"{{{content}}}"))
    path.write_text(f'{{{content}, "file_checksum": "{checksum}"}}')
    with pytest.raises(UserError, match=r"record\.json: damaged record .*; delete it and run `dvc repro`"):
        records.read_record(path)
    path.write_text(f'{{"identity": "a", "value": {number}}}')  # of an older version
    with pytest.raises(UserError, match=r"record\.json: damaged record"):
        records.read_record(path, older=True)


def test_what_an_older_version_wrote_is_read_only_where_that_is_allowed_and_a_line_says_so(tmp_path, capsys):
    checksums.note_unverified.cache_clear()
    path = tmp_path / "runs" / "a.json"
    path.parent.mkdir()
    run = {"seed": 0, "status": "finished", "config": {"model": {}}, "test_error": 0.1}
    path.write_text(json.dumps({"experiment": "a", "runs": [run]}))
    with pytest.raises(UserError, match="carries no checksum: damaged, or written by an older version; delete it and run"):
        network_files.experiment_record(path)
    for _ in range(2):
        assert network_files.experiment_record(path, older=True)["runs"] == [run]
    assert (
        capsys.readouterr().err == f"note: {path.parent}: from before files carried checksums, so damage there would not be seen\n"
    )


def test_equal_networks_of_two_machines_have_equal_records_but_for_times_and_environments(tmp_path):
    found = {}
    for machine, seconds in (("one", 2.0), ("two", 3.0)):
        path = tmp_path / machine / "runs" / "a.json"
        told = {"status": "finished", "config": {"model": {}}, "test_error": 0.1, "device": machine, "numerics": "portable"}
        runs = [{"seed": seed, **told, "seconds": seconds} for seed in (0, 1)]
        network_files.write_experiment(path, "a", runs, checksums={})
        assert network_files.experiment_record(path)["runs"] == runs
        found[machine] = path.read_bytes()
    assert found["one"] == found["two"]
    other = [{"seed": 7, "device": "one"}]
    records.write_record(tmp_path / "one" / "environments" / "a.json", {"experiment": "a", "runs": other})
    with pytest.raises(UserError, match=r"environments/a\.json: is not of the seeds in .*; delete it and run `dvc repro`"):
        network_files.experiment_record(tmp_path / "one" / "runs" / "a.json")
    path = tmp_path / "two" / "runs" / "a.json"
    record = records.read_record(path)
    records.write_record(path, {key: value for key, value in record.items() if key != "times_in"})
    with pytest.raises(UserError, match=r"runs/a\.json: damaged record \(no times_in, although .* is there\); delete it"):
        network_files.experiment_record(path)


def test_a_record_of_another_experiment_is_refused(tmp_path):
    records.write_record(tmp_path / "a.json", {"experiment": "b", "runs": []})
    with pytest.raises(UserError, match=r"a\.json: is the record of 'b'; delete it and run `dvc repro`"):
        network_files.experiment_record(tmp_path / "a.json")


def test_weights_that_lost_their_checksum_are_refused_beside_their_record(seeds, tmp_path):
    """Their own bytes may look like an older version's; the record says what they were."""
    from safetensors.torch import save_file

    path = seeds[0] / "model.safetensors"
    save_file({"weight": torch.zeros(2, 2)}, path, metadata={"reslab": json.dumps({"config": {}})})
    assert read_sealed(path, older=True).checksum is None
    with pytest.raises(UserError, match=r"not the weights that record\.json beside it tells of"):
        network_files.check_weights(path, read_sealed(path, older=True), older=True)
    with pytest.raises(UserError, match="carries no checksum"):
        read_sealed(path, older=False)


def test_predictions_of_another_network_are_refused(tmp_path):
    logits, labels = np.eye(3, dtype=np.float32), np.arange(3)
    paths = [tmp_path / name for name in ("a.safetensors", "b.safetensors")]
    first = predictions.save(paths[0], Predictions(logits, labels, list("abc")))
    predictions.save(paths[1], Predictions(logits[::-1], labels, list("abc")))
    with pytest.raises(UserError, match=r"b\.safetensors: not the predictions that its experiment's record tells of"):
        predictions.load(paths[1], first)


def test_a_checkpoint_of_another_network_is_not_restored_and_not_lost(tmp_path, capsys):
    model = nn.Linear(3, 2)
    step = TrainingStep(model, sgd(model, lr=0.1, momentum=0.9), cross_entropy(), Given(lambda epoch: []))
    schedule, path = make_schedule({"name": "constant"}, Budget(1, 1)), tmp_path / "checkpoint.pt"
    checkpoint.save(path, step, schedule, Log(), owner=OWNERS[1])
    with pytest.raises(UserError, match=rf"of another network, {OWNERS[1]}.*to train this seed from the start"):
        checkpoint.restore(path, step, schedule, owner=OWNERS[0])
    other = path.read_bytes()
    path.rename(checkpoint.before(path))
    checkpoint.save(path, step, schedule, Log(), owner=OWNERS[0])
    path.rename(checkpoint.before(path))
    path.write_bytes(other)
    assert checkpoint.restore(path, step, schedule, owner=OWNERS[0]).resumed == 1
    assert "going on from the one before, step 0" in capsys.readouterr().err
    assert (tmp_path / "checkpoint.pt.damaged").read_bytes() == other


def test_an_error_that_is_not_the_one_of_the_training_is_refused_unless_rounding_explains_it():
    labels = np.zeros(10, dtype=np.int64)
    logits = np.tile(np.float32([2.0, 1.0]), (10, 1))
    answers = Predictions(logits, labels, ["a", "b"])
    told = {"seed": 3, "identity": "abc", "status": "finished", "precision": "float32", "test_error": 0.0}
    agreement.check("x", told, {"test": answers})
    for changed in (told | {"test_error": 0.1}, told | {"test_error": 1.0}):
        with pytest.raises(UserError, match=r"x seed 3: test error 0\.0000, but .* when it was trained.*delete checkpoints/abc"):
            agreement.check("x", changed, {"test": answers})
    agreement.check("x", told | {"test_error": 1.0, "status": "diverged"}, {"test": answers})  # it only marks it
    logits[0] = [2.0, 2.0005]  # a close call
    assert score(logits, labels).error == 0.1
    agreement.check("x", told, {"test": Predictions(logits, labels, ["a", "b"])})
    logits[1] = [1.0, 2.0]
    with pytest.raises(UserError, match="rounding explains 1 of 10 images"):
        agreement.check("x", told, {"test": Predictions(logits, labels, ["a", "b"])})
    nothing = Predictions(np.full((10, 2), np.nan, dtype=np.float32), labels, ["a", "b"])
    with pytest.raises(UserError, match=r"test error 1\.0000, but 0\.0000"):
        agreement.check("x", told, {"test": nothing})


def write_one(folder, **changes):
    """An experiment's record of one network, with a checksum that is right."""
    run = {"identity": "abc", "seed": 0, "status": "finished", "config": {"model": {"name": "vgg"}}, "test_error": 0.1}
    network_files.write_experiment(folder / "runs" / "x.json", "x", [run | changes], checksums={})
    return network_files.experiment_record(folder / "runs" / "x.json")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("identity", []),
        ("status", "ok"),
        ("status", -1),
        ("test_error", "0.1"),
        ("test_error", True),
        ("test_error", None),
        ("test_error", -0.1),
        ("test_top5_error", 10.0),
        ("train_loss", {}),
        ("config", {}),
        ("config", {"model": 3}),
        ("dataset", {"name": "digits"}),
        ("dataset", "digits"),
        ("dataset", {}),
        ("test_commonest", "x"),
        ("parameters", "many"),
        ("seconds", [1]),
        ("device", 7),
        ("device", None),
        ("torch", None),
        ("python", "\ud800"),
    ],
)
def test_a_record_that_holds_what_none_can_is_refused_although_its_checksum_is_right(key, value, tmp_path):
    """It would be a number in a table, or a traceback."""
    assert write_one(tmp_path)["runs"][0]["test_error"] == 0.1
    with pytest.raises(UserError, match=rf"runs/x\.json: damaged record \(.*{key}.*\); delete it and run `dvc repro`$"):
        write_one(tmp_path, **{key: value})


def test_what_a_stopped_training_left_is_read_for_mlflow_alone(seeds):
    told = records.read_record(seeds[0] / "record.json")
    records.write_record(seeds[0] / "record.json", told | {"status": network_files.KILLED})
    assert TrainedNetwork.read("x", seeds[0]).run_status == "KILLED"
    with pytest.raises(UserError, match=r"record\.json: damaged record \(status is 'killed', none of finished, diverged\)"):
        network_files.read(seeds[0])
