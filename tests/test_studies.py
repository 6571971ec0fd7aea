"""Every shipped study parses and builds, and params.yaml is one of them."""

from pathlib import Path

import pytest
from project import SMALL_PARAMS, call, commit

from reslab import config, studies
from reslab.errors import UserError
from reslab.experiment import check
from reslab.schema import bind

FOLDER = Path(__file__).parents[1] / "studies"
FACTS = {
    "digits": {"image_shape": [1, 8, 8], "class_names": list("0123456789"), "train": 1437, "mean": [0.3], "std": [0.4]},
    "cifar10": {
        "image_shape": [3, 32, 32],
        "class_names": list("abcdefghij"),
        "train": 50_000,
        "mean": [0.5] * 3,
        "std": [0.2] * 3,
    },
}
STUDIES = studies.names(FOLDER)


@pytest.mark.parametrize("name", STUDIES)
def test_every_study_builds(name):
    from reslab.data.datasets import DATASETS

    study = config.parse(studies.compose(name, FOLDER))
    bind(DATASETS, study.dataset, "dataset")(Path("raw"))
    for experiment in study.experiments.values():
        check(experiment, FACTS[study.dataset["name"]])


@pytest.mark.parametrize("name", STUDIES)
def test_what_is_written_is_what_was_composed(name, tmp_path):
    document = studies.compose(name, FOLDER)
    (tmp_path / "params.yaml").write_text(studies.dump(document))
    assert config.read_yaml(tmp_path / "params.yaml") == document


def test_the_shipped_params_are_the_digits_study(repository):
    shipped = call(repository, "git", "show", "HEAD:params.yaml").stdout
    if "study: digits-tau\n" not in shipped:
        pytest.skip("this branch holds another study")
    assert shipped == studies.dump(studies.compose("digits-tau", FOLDER))


def test_published_numbers_of_the_tau_chart():
    published = config.parse(studies.compose("tau-resnet-cifar10", FOLDER)).report.published
    assert (published["resnet0110"].error, published["resnet0110-tau"].error) == (6.61, 5.84)
    assert len(published) == 10


def test_unknown_and_faulty_studies_are_named(tmp_path):
    with pytest.raises(UserError, match=r"unknown study 'digits'.*allowed: digits-tau"):
        studies.compose("digits", FOLDER)
    (tmp_path / "defaults.yaml").write_text((FOLDER / "defaults.yaml").read_text())
    (tmp_path / "empty.yaml").write_text("")
    with pytest.raises(UserError, match=r"empty\.yaml: expected a mapping"):
        studies.compose("empty", tmp_path)
    (tmp_path / "bad.yaml").write_text("seed: [1]\nexperiments: {a: {}}\n")
    with pytest.raises(UserError, match=r"bad\.yaml: unknown key 'seed'"):
        studies.compose("bad", tmp_path)


def test_select_without_git_never_overwrites(tmp_path):
    (tmp_path / "params.yaml").write_text("mine")
    with pytest.raises(UserError, match="edits that are not committed"):
        studies.select("digits-tau", params=tmp_path / "params.yaml", folder=FOLDER)
    assert (tmp_path / "params.yaml").read_text() == "mine"


def test_select_never_loses_edits(tmp_path):
    call(tmp_path, "git", "init", "--quiet")
    (tmp_path / "studies").symlink_to(FOLDER)
    (tmp_path / "params.yaml").write_text(SMALL_PARAMS)
    commit(tmp_path, "start")
    call(tmp_path, "reslab", "select", "digits-tau")
    assert "study: digits-tau" in (tmp_path / "params.yaml").read_text()
    done = call(tmp_path, "reslab", "select", "he2015-cifar10", check=False)
    assert done.returncode == 1
    assert done.stderr == "error: params.yaml has edits that are not committed; commit them, or say --force to lose them\n"
    assert "study: digits-tau" in (tmp_path / "params.yaml").read_text()
    call(tmp_path, "reslab", "select", "he2015-cifar10", "--force")
    assert "study: he2015-cifar10" in (tmp_path / "params.yaml").read_text()
