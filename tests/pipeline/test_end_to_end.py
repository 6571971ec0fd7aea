"""The real thing: fresh clones and real `dvc repro`."""

import json
import re

import pandas as pd
import pytest
from project import SMALL_PARAMS, call, clone, edit, forget, records, runs_in_mlflow, starts

EXPERIMENTS = ("plain-tau", "own-tau")
SHIPPED = ("resnet110-nobn", "resnet110-nobn-tau")


@pytest.mark.slow
def test_the_shipped_study_shows_tau_rescuing_the_deep_net(tmp_path):
    """The main job of the README: clone, repro, table; a second repro does nothing. `make repro` trains all of it, in minutes."""
    folder = clone(tmp_path / "reslab")
    call(folder, "reslab", "select", "digits-tau", "--rows", ",".join(SHIPPED), "--seeds", "0", "--force")
    call(folder, "dvc", "repro")
    table = pd.read_csv(folder / "metrics" / "tables" / "results.csv").set_index("experiment")
    assert tuple(table.index) == SHIPPED
    assert (table["n"] + table["diverged"] == 1).all()
    assert table["diverged"]["resnet110-nobn"] == 1
    assert table["diverged"]["resnet110-nobn-tau"] == 0
    assert table["mean"]["resnet110-nobn-tau"] < 0.10
    assert "diverged (1 of 1)" in (folder / "metrics" / "tables" / "results.md").read_text()
    assert "Data and pipelines are up to date." in call(folder, "dvc", "repro").stdout
    assert {run.info.run_name for run in runs_in_mlflow(folder, "digits-tau")} == {f"{name}-s0" for name in SHIPPED}


def test_everything_promised_is_there(trained):
    record = records(trained)["own-tau", 1]
    assert record["tau"] == pytest.approx(3**-0.5)
    assert record["config"]["model"] == {"name": "tau_resnet", "depth": 8, "norm": "none", "tau": "1/sqrt(L)"}
    for key in ("parameters", "test_error", "test_loss", "seconds", "images_per_second", "device", "threads", "torch", "precision"):
        assert record[key] is not None
    assert record["layout"] == "channels_last"
    assert re.fullmatch("[0-9a-f]{40}", record["commit"])
    assert record["dirty"] is False
    for name in ("curves.svg", "depth_and_tau.svg"):
        assert (trained / "metrics" / "plots" / name).read_text().lstrip().startswith("<?xml")
    stored = json.loads((trained / "metrics" / "runs" / "own-tau.json").read_text())["runs"]
    history = pd.read_csv(trained / "metrics" / "history" / "own-tau.csv")
    last = history.groupby("seed").last()["test_error"].tolist()
    assert [run["test_error"] for run in stored] == last  # the stored weights give the error that training saw
    assert {run.info.run_name for run in runs_in_mlflow(trained)} == {f"{name}-s{seed}" for name in EXPERIMENTS for seed in (0, 1)}
    assert {run.data.params["tau"] for run in runs_in_mlflow(trained)} == {"1.0", "0.5773503"}


def test_nothing_to_do_is_said(project):
    assert "Data and pipelines are up to date." in call(project, "dvc", "repro").stdout


@pytest.mark.slow
def test_a_new_seed_trains_that_seed_only_and_parallel_gives_the_same_networks(trained, project):
    for name in EXPERIMENTS:
        forget(project, name, seeds=[1])
    edit(project, "params.yaml", "- 0\n- 1\n", "- 0\n")
    call(project, "dvc", "commit", "--force", *(f"train@{name}" for name in EXPERIMENTS))
    before = starts(project)
    assert set(before) == {(name, 0) for name in EXPERIMENTS}
    edit(project, "params.yaml", "- 0\n", "- 0\n- 1\n")
    call(project, "reslab", "parallel", "--jobs", "2")
    after = starts(project)
    assert {key: after[key] for key in before} == before
    assert set(after) - set(before) == {(name, 1) for name in EXPERIMENTS}
    assert {key: weights for key, (_, weights) in after.items()} == {key: weights for key, (_, weights) in starts(trained).items()}
    table = pd.read_csv(project / "metrics" / "tables" / "results.csv")
    assert (table["n"] + table["untrained"]).tolist() == [2, 2]  # two epochs take some seeds no farther than a guess
    assert "Data and pipelines are up to date." in call(project, "dvc", "repro").stdout


@pytest.mark.slow
def test_a_comment_a_moved_file_and_a_new_family_train_nothing_and_behaviour_does(project):
    before, source = starts(project), project / "src" / "reslab"
    edit(project, "src/reslab/training/loop.py", "    step, at = ", "    # a comment\n    step, at = ")
    (source / "training" / "ema.py").rename(source / "training" / "optim" / "weight_average.py")
    for importer in ("training/step.py", "experiment/assemble.py"):
        edit(source, importer, "from reslab.training.ema import", "from reslab.training.optim.weight_average import")
    (source / "models" / "toy.py").write_text((source / "models" / "rezero.py").read_text().replace("rezero_resnet", "toy"))
    edit(source, "models/__init__.py", "from reslab.models.vgg", "from reslab.models.toy import toy\nfrom reslab.models.vgg")
    edit(source, "models/__init__.py", '    "vgg": vgg,', '    "toy": toy,\n    "vgg": vgg,')
    assert "toy: A ResNet" in call(project, "env", "PYTHONPATH=src", "reslab", "models", "toy").stdout
    printed = call(project, "dvc", "repro").stdout
    assert "Running stage 'describe@own-tau'" in printed
    assert starts(project) == before
    edit(
        project,
        "src/reslab/models/tau_resnet.py",
        "out = self.conv2(out + self.bias2a) + self.bias2b",
        "out = self.conv2(out + self.bias2a)",
    )
    call(project, "dvc", "repro", "train")
    after = starts(project)
    assert {key for key in before if after[key] == before[key]} == {("plain-tau", 0), ("plain-tau", 1)}


def test_an_experiment_without_a_typo_is_not_trained_before_one_with_it_is_refused(project):
    before = starts(project)
    edit(
        project,
        "params.yaml",
        "  own-tau:\n    model:\n",
        "  own-tau:\n    model:\n      width: 8\n  third:\n    model:\n      dpeth: 8\n",
    )
    done = call(project, "dvc", "repro", check=False)
    assert done.returncode != 0
    assert "error: params.yaml: experiments.third: model: unknown key 'dpeth' (did you mean 'depth'?)" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert "Running stage 'train" not in done.stdout
    assert before == starts(project)


def test_a_typo_at_the_top_level_is_not_silently_ignored(project):
    with (project / "params.yaml").open("a") as params:
        params.write("scedule:\n  name: cosine\n")
    done = call(project, "dvc", "repro", check=False)
    assert done.returncode != 0
    assert "error: params.yaml: unknown key 'scedule' (did you mean 'schedule'?)" in done.stderr


def test_the_layer_study_measures_what_was_trained_and_trains_nothing(project):
    before = starts(project)
    edit(project, "params.yaml", "  title: Small", "  title: Small\n  layers: {depths: [8, 14], images: 32}")
    call(project, "dvc", "repro", "layers/dvc.yaml")
    assert starts(project) == before
    growth = pd.read_csv(project / "metrics" / "layers" / "growth.csv")
    moments = growth.groupby("experiment")["moment"].agg(lambda column: sorted(set(column)))
    both = ["after training", "at initialisation"]
    assert moments.to_dict() == dict.fromkeys(EXPERIMENTS, both) | {f"{name}@depth14": both[1:] for name in EXPERIMENTS}
    assert (growth.groupby(["experiment", "moment"])["seed"].agg(sorted).map(tuple) == (0, 1)).all()
    assert set(growth.loc[growth["experiment"] == "own-tau", "blocks"]) == {3}
    responses = pd.read_csv(project / "data" / "layers" / "responses.csv")
    sizes = responses.groupby(["experiment", "seed", "moment"]).size()
    assert sizes["own-tau", 0, both[0]] == 7
    assert sizes["own-tau@depth14", 1, both[1]] == 13
    initial = responses[(responses["experiment"] == "plain-tau") & (responses["moment"] == both[1])]
    assert initial["response_std"].between(0.99, 1.01).all()  # batch norm, before its scale has learnt anything
    learnt = growth[(growth["experiment"] == "own-tau") & (growth["moment"] == both[0])]["tau"]
    assert (learnt != growth[growth["experiment"] == "own-tau@depth14"]["tau"].iloc[0]).all()
    for name in ("growth.svg", "threshold.svg", "responses_initial.svg", "responses_trained.svg"):
        assert "<svg" in (project / "metrics" / "layers" / name).read_text()
    assert "| tau: " not in (table := (project / "metrics" / "layers" / "growth.md").read_text())  # one series with, one without
    assert "at initialisation" in table
    assert "didn't change, skipping" in call(project, "dvc", "repro", "layers/dvc.yaml").stdout
    assert "Running stage 'layers" not in call(project, "dvc", "repro").stdout


@pytest.mark.local_data
def test_cifar10_as_a_folder_of_jpegs_trains(tmp_path, some_jpegs):
    """Real images end to end, one short epoch."""
    dataset = f"  name: image_folder\n  source: {some_jpegs}\n  image_size: 32"
    params = SMALL_PARAMS.replace("  name: digits", dataset).replace("  epochs: 2", "  iterations: 60").replace("- 1\n", "")
    folder = clone(tmp_path / "reslab", params)
    call(folder, "dvc", "repro", "evaluate@plain-tau")
    assert records(folder)["plain-tau", 0]["test_error"] < 0.85
