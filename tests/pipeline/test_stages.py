"""The stage scripts as commands: bad input is one line on stderr and a failure, without a traceback."""

import json
import sys

import pytest
from commands import stage, stage_here
from project import SMALL_PARAMS, call

from reslab.data import prepared


@pytest.fixture
def folder(tmp_path, small_images):
    """A project with params and prepared data."""
    (tmp_path / "params.yaml").write_text(SMALL_PARAMS)
    prepared.save(small_images, tmp_path / "data" / "prepared", name="small", validation=0)
    return tmp_path


def change(folder, old, new):
    text = SMALL_PARAMS.replace(old, new, 1)
    assert text != SMALL_PARAMS
    (folder / "params.yaml").write_text(text)


BAD = {
    "unknown key": (
        "  depth: 8",
        "  dpeth: 8",
        "model: unknown key 'dpeth' (did you mean 'depth'?); allowed: depth, norm, tau, width, init",
    ),
    "misspelt choice": ("name: tau_resnet", "name: tau_resnt", "model.name: unknown name 'tau_resnt' (did you mean 'tau_resnet'?)"),
    "misspelt option value": ("norm: batch", "norm: bathc", "model.norm: 'bathc' is not allowed: should be 'batch' or 'none'"),
    "wrong type": ("lr: 0.1", "lr: fast", "optimizer.lr: 'fast' is not allowed: should be a valid number"),
    "impossible depth": ("depth: 8", "depth: 9", "model: depth 9 is impossible: allowed are 6n+2"),
    "negative tau": ("tau: 1.0", "tau: -1.0", "model: tau -1.0 is not allowed: a finite number >= 0"),
    "bad tau rule": (
        "tau: 1/sqrt(L)",
        "tau: 1/sqrt(N)",
        "experiments.own-tau: model: tau '1/sqrt(N)' is not a number >= 0 or a rule",
    ),
    "empty seeds": ("seeds:\n- 0\n- 1\n", "seeds: []\n", "seeds: [] is not allowed"),
    "duplicate experiment": ("  plain-tau: {}\n", "  plain-tau: {}\n  plain-tau: {}\n", 'duplicate key "plain-tau"'),
    "not YAML": ("study: small", "study: [small", "line "),
    "bad augmentation": ("padding: 1", "padding: 0", "augment[0].padding: 0 is not allowed: should be greater than or equal to 1"),
    "no whole batch": (
        "  batch_size: 128",
        "  batch_size: 128\n  drop_last: true",
        "train.batch_size: 128 with drop_last leaves no batch",
    ),
    "negative width": ("depth: 8", "depth: 8\n  width: -3", "model.width: -3 is not allowed"),
    "rate that climbs": ("lr: 0.1", "lr: -0.1", "optimizer.lr: -0.1 is not allowed"),
    "bad loss": (
        "name: cross_entropy",
        "name: crossentropy",
        "loss.name: unknown name 'crossentropy' (did you mean 'cross_entropy'?)",
    ),
    "bad schedule": ("name: cosine", "name: multistep", "schedule: missing key 'milestones'"),
    "bad normalisation": ("name: computed", "name: published", "normalize: missing key 'constants'"),
}


def refused(done) -> str:
    """The one line that says why a stage failed."""
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    return line


@pytest.mark.parametrize("name", BAD)
def test_bad_params_fail_with_one_line(folder, name):
    old, new, message = BAD[name]
    change(folder, old, new)
    line = refused(stage_here(folder, "check.py", "data/prepared", "out.json"))
    assert message in line
    assert line.startswith("error: params.yaml: ")
    assert not (folder / "out.json").exists()


def test_the_command_itself_fails_with_one_line(folder):
    change(folder, "depth: 8", "depth: 9")
    line = refused(stage(folder, "describe.py", "plain-tau", "out.json"))
    assert line.startswith("error: params.yaml: experiments.plain-tau: model: depth 9 is impossible")


def test_the_traceback_is_there_for_who_asks(folder):
    change(folder, "depth: 8", "depth: 9")
    done = stage(folder, "describe.py", "plain-tau", "out.json", RESLAB_TRACEBACK="1")
    assert done.returncode == 1
    assert "Traceback" in done.stderr


def described(folder, name="own-tau", run=stage_here, **environment) -> dict:
    done = run(folder, "describe.py", name, "out.json", **environment)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return json.loads((folder / "out.json").read_text())


def test_a_description_says_what_the_experiment_is(folder):
    found = described(folder)
    assert found["config"]["model"] == {"name": "tau_resnet", "depth": 8, "norm": "none", "tau": "1/sqrt(L)"}
    assert found["model"]["tau"] == pytest.approx(3**-0.5, abs=1e-6)
    assert found["model"]["conv_layers"] == 7
    assert found["model"]["multiply_adds"] > 500_000
    assert [(group["name"], group["tensors"]) for group in found["parameter_groups"]] == [("all", 9), ("scalars", 13)]
    assert found["budget"] == {"steps": 2, "steps_per_epoch": 1}
    assert len(found["normalization"]["mean"]) == 3
    assert len(found["dataset"]["checksum"]) == 64
    assert len(found["trace"]) == 3
    assert all(0 < loss < 100 for loss in found["trace"])


def test_the_trace_is_the_machines_business_in_no_digit_and_follows_every_part_of_the_recipe(folder):
    base = described(folder)["trace"]
    assert described(folder, run=stage, OMP_NUM_THREADS="2")["trace"] == base
    changes = [("tau: 1/sqrt(L)", "tau: 0.5"), ("padding: 1", "padding: 2"), ("lr: 0.1", "lr: 0.2"), ("name: computed", ONES)]
    for old, new in changes:
        change(folder, old, new)
        assert described(folder)["trace"] != base, new


ONES = "name: constants\n  mean: [0.0, 0.0, 0.0]\n  std: [1.0, 1.0, 1.0]"


def test_missing_data_and_files_are_named(folder, tmp_path):
    (folder / "data" / "prepared" / "dataset.json").unlink()
    done = stage_here(folder, "describe.py", "plain-tau", "out.json")
    assert "data/prepared: prepared data missing or damaged" in done.stderr
    done = stage_here(folder, "train.py", "plain-tau", "nothing.json", "data/runs/plain-tau")
    assert done.stderr.startswith("error: nothing.json: no such file")
    done = stage_here(folder, "evaluate.py", "plain-tau", "data/runs/plain-tau", "a.json", "b.csv", "predictions")
    assert done.stderr.startswith("error: data/runs/plain-tau: no trained networks; run `dvc repro train@plain-tau`")
    done = stage_here(folder, "aggregate.py", "metrics")
    assert done.stderr.startswith("error: metrics/runs/plain-tau.json: no such file")
    done = stage_here(folder / "data", "fetch.py", "raw")
    assert done.stderr.startswith("error: params.yaml: no such file")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("{images: 1}", "params.yaml: report.layers.images: 1 is not allowed: should be greater than or equal to 2"),
        ("{images: none}", "params.yaml: report.layers.images: 'none' is not allowed"),
        ("{depth: [14]}", "params.yaml: report.layers: unknown key 'depth' (did you mean 'depths'?); allowed: images, depths"),
        ("{depths: [9]}", "params.yaml: report.layers.depths: 9: model: depth 9 is impossible: allowed are 6n+2"),
        ("{images: 8}", "data/runs/plain-tau/seed0: no such folder; trained networks are in data/runs/"),
    ],
)
def test_what_the_layer_study_cannot_measure_is_refused(folder, asked, message):
    change(folder, "report:\n", f"report:\n  layers: {asked}\n")
    done = stage_here(folder, "layers.py", "data/runs", "data/layers", "metrics/layers")
    assert message in refused(done)
    assert not (folder / "metrics" / "layers").exists()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("name: image_folder\n  source: nowhere\n  image_size: 8", "nowhere: no such file or folder"),
        ("name: image_folder\n  source: broken.zip\n  image_size: 8", "broken.zip: damaged or truncated archive"),
        ("name: image_folder\n  image_size: 8", "params.yaml: dataset: missing key 'source'"),
        ("name: cifar11", "params.yaml: dataset.name: unknown name 'cifar11' (did you mean 'cifar10'?)"),
        ("name: mnist\n  source: .", "missing t10k-images-idx3-ubyte"),
        ("name: image_folder\n  source: one-class\n  image_size: 8", "only one class in train/ (cat)"),
        ("name: image_folder\n  source: http://[bad\n  image_size: 8", "is no address (Invalid IPv6 URL)"),
    ],
)
def test_bad_datasets_are_refused_and_leave_nothing(folder, source, message):
    (folder / "broken.zip").write_bytes(b"PK\x03\x04 not a zip")
    for name in ("train", "test"):
        (folder / "one-class" / name / "cat").mkdir(parents=True)
        (folder / "one-class" / name / "cat" / "1.png").write_bytes(b"any")
    change(folder, "name: digits", source)
    done = stage_here(folder, "fetch.py", "data/raw")
    assert message in refused(done)
    assert not list((folder / "data").rglob("raw/*"))


@pytest.mark.parametrize(
    ("run", "name", "value", "message"),
    [
        (stage_here, "RESLAB_DEVICE", "quantum", "RESLAB_DEVICE=quantum: not usable here"),
        (stage_here, "RESLAB_DEVICE", "meta", "RESLAB_DEVICE=meta: not usable here"),
        (stage_here, "RESLAB_WORKERS", "many", "RESLAB_WORKERS=many is not allowed: a whole number from 1 to 1024"),
        (stage, "RESLAB_THREADS", "99999999999", "RESLAB_THREADS=99999999999 is not allowed"),  # found in a worker process
    ],
)
def test_impossible_hardware_is_refused(folder, run, name, value, message):
    described(folder, "plain-tau")
    done = run(folder, "train.py", "plain-tau", "out.json", "data/runs/plain-tau", **{name: value})
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"error: {message}")
    assert "Traceback" not in done.stderr


def test_training_starts_without_what_it_may_not_need(repository):
    """MLflow, DVC and the compiler take seconds each to import; they are loaded when something uses them."""
    heavy = "{'mlflow', 'dvc', 'torch._dynamo', 'scipy'}"
    script = f"import sys; sys.path.insert(0, 'stages'); import train; print(*{heavy} & set(sys.modules))"
    assert call(repository, sys.executable, "-c", script).stdout.strip() == ""
