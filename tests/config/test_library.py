"""Every shipped study parses and builds, and params.yaml is one of them."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from commands import reslab
from facts import facts
from project import SMALL_PARAMS, call, commit

from reslab import config
from reslab.config import library
from reslab.config.schema import bind
from reslab.data.sizes import stored_as
from reslab.errors import UserError
from reslab.experiment.check import checked

FOLDER = Path(__file__).parents[2] / "studies"
STUDIES = library.names(FOLDER)


TINY = {"name": "vgg", "layers": [1], "widths": [4]}


@cache
def composed(name: str) -> dict:
    """A study's document, read once for all tests."""
    return library.compose(name, FOLDER)


@pytest.mark.parametrize("name", STUDIES)
def test_every_study_builds(name):
    """Each experiment is checked whole, but a network that many of them share is built once."""
    from reslab.data.datasets import DATASETS

    study = config.parse(composed(name))
    bind(DATASETS, study.dataset, "dataset")(Path("raw"))
    known = facts(study.dataset["name"]) | {"stored": stored_as(study.dataset)}
    built = []
    for experiment in study.experiments.values():
        new = experiment.model not in built
        built.append(experiment.model)
        checked(experiment if new else replace(experiment, model=TINY), known)


@pytest.mark.parametrize("name", STUDIES)
def test_what_is_written_is_what_was_composed(name, tmp_path):
    document = composed(name)
    (tmp_path / "params.yaml").write_text(library.dump(document))
    assert config.read_yaml(tmp_path / "params.yaml") == document


def test_the_shipped_params_are_the_digits_study(repository):
    shipped = call(repository, "git", "show", "HEAD:params.yaml").stdout
    if "study: digits-tau\n" not in shipped:
        pytest.skip("this branch holds another study")
    assert shipped == library.dump(library.compose("digits-tau", FOLDER))


def test_the_list_shows_systems_apart_and_can_be_narrowed(tmp_path, monkeypatch):
    (tmp_path / "studies").symlink_to(FOLDER)
    monkeypatch.chdir(tmp_path)
    lines = call(tmp_path, "reslab", "studies").stdout.splitlines()
    named = [line.split()[0] for line in lines[1:] if line]
    assert lines[0].split() == ["study", "experiments", "published", "title"]
    assert named == STUDIES
    blocks = "\n".join(lines[1:]).strip().split("\n\n")
    assert len(blocks) == len({library.system(name) for name in STUDIES})
    assert all(len({library.system(line.split()[0]) for line in block.splitlines()}) == 1 for block in blocks)
    narrowed = reslab("studies", "lars-batch4096").splitlines()[2:]
    assert [line.split()[:3] for line in narrowed] == [
        ["hysts-lars-batch4096", "9", "9"],
        ["hysts-lars-batch4096-longer", "7", "7"],
    ]
    with pytest.raises(UserError) as raised:
        reslab("studies", "larz")
    systems = sorted({library.system(name) for name in STUDIES})
    assert str(raised.value) == f"no study has 'larz' in its name; systems: {', '.join(systems)}"


def test_published_numbers_of_the_tau_chart():
    published = config.parse(library.compose("tau-resnet-cifar10", FOLDER)).report.published
    assert (published["resnet0110"].error, published["resnet0110-tau"].error) == (6.61, 5.84)
    assert len(published) == 10


def test_unknown_and_faulty_studies_are_named(tmp_path):
    with pytest.raises(UserError, match=r"unknown study 'digits' \(did you mean 'digits-tau'\?\); `reslab studies` lists them$"):
        library.compose("digits", FOLDER)
    (tmp_path / "defaults.yaml").write_text((FOLDER / "defaults.yaml").read_text())
    (tmp_path / "empty.yaml").write_text("")
    with pytest.raises(UserError, match=r"empty\.yaml: expected a mapping"):
        library.compose("empty", tmp_path)
    (tmp_path / "bad.yaml").write_text("seed: [1]\nexperiments: {a: {}}\n")
    with pytest.raises(UserError, match=r"bad\.yaml: unknown key 'seed'"):
        library.compose("bad", tmp_path)


def test_select_without_git_never_overwrites(tmp_path):
    (tmp_path / "params.yaml").write_text("mine")
    with pytest.raises(UserError, match="edits that git does not have: it cannot tell"):
        library.select(library.compose("digits-tau", FOLDER), params=tmp_path / "params.yaml")
    assert (tmp_path / "params.yaml").read_text() == "mine"


def test_select_never_loses_edits(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    call(tmp_path, "git", "init", "--quiet")
    (tmp_path / "studies").symlink_to(FOLDER)
    (tmp_path / "params.yaml").write_text(SMALL_PARAMS)
    commit(tmp_path, "start")
    reslab("select", "digits-tau")
    assert "study: digits-tau" in (tmp_path / "params.yaml").read_text()
    done = call(tmp_path, "reslab", "select", "he2015-cifar10", check=False)
    assert done.returncode == 1
    assert done.stderr == "error: params.yaml has edits that are not committed; commit them, or pass --force to discard them\n"
    assert "study: digits-tau" in (tmp_path / "params.yaml").read_text()
    reslab("select", "he2015-cifar10", "--force")
    assert "study: he2015-cifar10" in (tmp_path / "params.yaml").read_text()


@pytest.mark.parametrize("name", STUDIES)
def test_every_study_says_what_it_is_about(name):
    """One schema for all: what it asks, where it comes from, how we differ; and nothing only in a comment."""
    document = composed(name)
    report = config.parse(document).report
    assert report.title
    assert report.question.endswith("?")
    assert report.origin
    assert not report.origin.endswith(".")
    assert all(text.endswith(".") for text in report.differences + report.notes)
    assert all(published.source for published in report.published.values())
    assert "Known differences" not in (FOLDER / f"{name}.yaml").read_text()


def test_what_a_study_is_about_changes_no_experiment():
    document = library.compose("he2015-cifar10", FOLDER)
    assert config.parse(document).experiments == config.parse(document | {"report": {}}).experiments


def test_published_minutes_carry_their_device():
    published = config.parse(library.compose("hysts-wrn-shake-regularizers", FOLDER)).report.published
    assert (published["wrn28-10-ricap-epochs200"].minutes, published["wrn28-10-ricap-epochs200"].device) == (
        395,
        "GeForce GTX 1080 Ti",
    )
    assert published["shake-shake26-2x64d-cutout16-epochs1800"].device == "GeForce GTX 980"
