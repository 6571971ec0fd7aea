"""The commands that show, estimate and choose studies, run as a user runs them."""

import csv
import io
import json
from pathlib import Path

import pytest
from commands import reslab
from project import SMALL_PARAMS, call, commit, records

from reslab import config
from reslab.cli import app
from reslab.cli.cost import slug
from reslab.cli.text import parse_duration, readable
from reslab.config import library
from reslab.cost import machines
from reslab.cost.calibrate import NETWORKS
from reslab.errors import UserError

NAMED = ("--machine", "geforce-gtx-1080-ti")


@pytest.fixture
def folder(tmp_path, repository, monkeypatch):
    """A git repository with the studies and the machines, and a small params.yaml."""
    for name in ("studies", "machines"):
        (tmp_path / name).symlink_to(repository / name)
    (tmp_path / "params.yaml").write_text(SMALL_PARAMS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    return tmp_path


@pytest.fixture
def git_folder(folder):
    call(folder, "git", "init", "--quiet")
    commit(folder, "start")
    return folder


def chosen() -> config.Study:
    return config.load(Path("params.yaml"))


@pytest.mark.parametrize("name", library.names(Path(__file__).parents[2] / "studies"))
def test_show_says_it_all_of_every_study(name, folder):
    text = reslab("show", name, *NAMED)
    study = config.parse(library.compose(name))
    whole = " ".join(text.split())
    for said in (study.report.title, study.report.question, study.report.origin, *study.report.differences, *study.report.notes):
        assert " ".join(said.split()) in whole
    assert all(len(line) <= 100 for line in text.splitlines())
    rows = list(csv.DictReader(io.StringIO(reslab("show", name, *NAMED, "--csv"))))
    assert [row["experiment"] for row in rows] == list(study.experiments)
    for row in rows:
        published = study.report.published.get(row["experiment"])
        assert (
            (float(row["published_error"]), row["published_source"]) == (published.error, published.source) if published else True
        )
        assert row["published_runs"] == (str(published.runs or "") if published else "")  # 3, not 3.0, also beside rows without
        assert float(row["seconds_per_seed"]) > 0
        assert int(row["parameters"]) > 0
        assert row["machine_kind"] == "published"


def test_show_without_a_measurement_says_how_to_get_one(folder):
    (folder / "machines").unlink()
    text = reslab("show", "wilber-gamma")
    assert "6 experiments" not in text
    assert "2 experiments x 3 seeds; their time on this machine is unknown: run `reslab calibrate`" in " ".join(text.split())
    assert "one seed" not in text
    row = next(csv.DictReader(io.StringIO(reslab("show", "wilber-gamma", "--csv"))))
    assert (row["seconds_per_seed"], row["machine"], row["parameters"]) == ("", "", "270410")
    with pytest.raises(UserError, match="this machine is not measured yet: run `reslab calibrate`"):
        reslab("estimate")


def test_estimate_guesses_from_the_nearest_machine_and_says_so(folder, monkeypatch):
    monkeypatch.setattr("reslab.cli.cost.cpu_name", lambda: "Some Processor")
    shown = " ".join(reslab("show", "wilber-gamma").split())
    assert "one seed" in shown and "GUESSED: this machine is not measured" in shown
    monkeypatch.setenv("RESLAB_DEVICE", "cpu")
    said = " ".join(reslab("estimate").split())
    assert "GUESSED: this machine is not measured, and this is the nearest that is known; `reslab calibrate` measures it" in said
    assert next(csv.DictReader(io.StringIO(reslab("estimate", "--csv"))))["kind"] == "guessed"
    assert "GUESSED" in reslab("select", "wilber-gamma", "--within", "1000d", "--force")
    assert machines.likely({"device": "NVIDIA H200 NVL", "threads": None}).name == "nvidia-h200-predicted"


def test_estimate_of_what_stands_in_params(folder):
    text = reslab("estimate", *NAMED, "--at-once", "2")
    assert "All of small: " in text
    assert "2 seeds at once" in text
    assert "fitted to published times of another code" in text
    one, both = (list(csv.DictReader(io.StringIO(reslab("estimate", *NAMED, "--csv", "--at-once", count)))) for count in "12")
    assert [row["name"] for row in one] == ["plain-tau", "own-tau"]
    assert float(one[0]["wall"]) == pytest.approx(2 * float(both[0]["wall"]))
    (folder / "params.yaml").write_text(SMALL_PARAMS.replace("epochs: 2", "epochs: 4"))
    longer = next(csv.DictReader(io.StringIO(reslab("estimate", *NAMED, "--csv", "--at-once", "1"))))
    assert float(longer["seconds"]) == pytest.approx(2 * float(one[0]["seconds"]))


def test_select_by_rows_and_seeds(git_folder):
    reslab("select", "he2015-cifar10", "--rows", "plain*,resnet0110", "--seeds", "3,5")
    study = chosen()
    assert list(study.experiments) == ["plain0020", "plain0056", "plain0110", "resnet0110"]
    assert study.seeds == [3, 5]
    assert set(study.report.published) == {"plain0020", "plain0056", "resnet0110"}
    assert study.report.question == "Do deeper networks get better, with shortcuts and without?"
    changed = call(git_folder, "git", "diff", "--stat").stdout
    assert "params.yaml" in changed
    reslab("select", "he2015-cifar10", "--rows", "plain*", "--force")
    reslab("select", "he2015-cifar10", "--rows", "plain*")  # the same again is no loss
    with pytest.raises(UserError, match="edits that are not committed"):
        reslab("select", "he2015-cifar10", "--seeds", "0")
    assert list(chosen().experiments) == ["plain0020", "plain0056", "plain0110"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--rows", "plain020"), r"rows: unknown name 'plain020' \(did you mean 'plain0020'\?\); allowed: plain0020"),
        (("--rows", " "), "experiments: expected at least one"),
        (("--seeds", "0-2"), "seeds: '0-2' is not allowed: give whole numbers separated by commas"),
        (("--seeds", "1,1"), r"seeds: \[1, 1\] is not allowed"),
        (("--within", "20", *NAMED), "'20' is not a time: give a number and s, m, h or d"),
        (("--within", "1s", *NAMED), "no experiment trains within 1s: the cheapest, plain0020, takes "),
        (("--within", "1h", "--machine", "abacus"), "unknown machine 'abacus'"),
    ],
)
def test_select_refuses_what_cannot_be(arguments, message, git_folder):
    with pytest.raises(UserError, match=message):
        reslab("select", "he2015-cifar10", *arguments)
    assert chosen().name == "small"


def test_select_what_fits_into_a_time(git_folder):
    rows = csv.DictReader(io.StringIO(reslab("estimate", "he2015-cifar10", *NAMED, "--csv", "--at-once", "1")))
    walls = {row["name"]: float(row["wall"]) for row in rows}
    budget = walls["plain0020"] + walls["resnet0020"] + walls["resnet0032"] + 60
    text = reslab("select", "he2015-cifar10", "--within", f"{budget / 60:.0f}m", "--at-once", "1", *NAMED)
    assert list(chosen().experiments) == ["plain0020", "resnet0020", "resnet0032"]
    assert "fitted to published times of another code" in text
    assert all(f"{name} (" in text.split("Left out: ")[1] for name in ("plain0056", "resnet0044", "resnet0056", "resnet1202"))
    text = reslab("select", "he2015-cifar10", "--within", "1000d", "--force", *NAMED)
    assert len(chosen().experiments) == 9
    assert "Left out" not in text


@pytest.mark.parametrize(
    ("rows", "pairs"),
    [
        ("resnet020-*", [("resnet020-bn-tau", "resnet020-bn"), ("resnet020-nobn-tau", "resnet020-nobn")]),
        ("resnet020-nobn,resnet110-nobn", []),  # none of the study's, and no others in their place
    ],
)
def test_a_part_compares_what_is_left(rows, pairs, git_folder):
    text = reslab("select", "digits-tau", "--rows", rows)
    assert chosen().report.compare == pairs
    assert ("params.yaml: no comparison of digits-tau is left; set `report.compare`" in text) == (not pairs)


def test_times_as_people_write_them():
    assert [parse_duration(text) for text in ("90s", "20m", "1.5h", "2d")] == [90, 1200, 5400, 172800]
    assert [readable(seconds) for seconds in (0.5, 42.3, 1200, 5400, 400_000)] == ["0.5 s", "42 s", "20 min", "1.5 h", "4.6 days"]
    with pytest.raises(UserError, match="'0m' is not a time"):
        parse_duration("0m")
    assert slug("Intel(R) Xeon(R) Processor", 1) == "intel-xeon-1-thread"
    assert slug("NVIDIA H200", None) == "nvidia-h200"


def test_calibrate_measures_this_machine_and_estimate_finds_it(folder):
    """The whole way at a tiny setting: real steps, a file, and an estimate that is of the order of a real run."""
    (folder / "machines").unlink()
    options = [word for name in ("resnet20", "resnet110-nobn-8x8") for word in ("--network", name)]
    text = reslab("calibrate", "--rounds", "1", "--steps", "2", "--name", "here", *options, "--note", "in a test")
    machine = machines.read("here")
    assert machine.kind == "measured"
    assert [row["network"] for row in machine.rows] == ["resnet20", "resnet20", "resnet110-nobn-8x8", "resnet110-nobn-8x8"]
    assert all(row["seconds"] > 0 for row in machine.rows)
    assert machine.error.mean_percent >= 0
    assert machine.made["torch"]
    assert "machines/here.yaml: here (" in text
    assert "Times of here (" in reslab("estimate").replace("\n", " ")
    with pytest.raises(UserError, match="rows: unknown name 'resnet21'"):
        reslab("calibrate", "--network", "resnet21")
    assert "resnet20" in NETWORKS


def test_published_times_make_a_machine(folder):
    (folder / "machines").unlink()
    reslab("calibrate", "--published", "GeForce GTX 980")
    machine = machines.read("geforce-gtx-980")
    assert machine.kind == "published"
    assert sum(row["runs"] for row in machine.rows) == 11
    with pytest.raises(UserError, match=r"no study has published minutes for 'GTX'; allowed: 2 x Tesla V100, .*GeForce GTX 980"):
        reslab("calibrate", "--published", "GTX")


def test_a_family_alone(folder):
    text = reslab("models", "wrn")
    assert text.startswith("wrn: ")
    assert "widening_factor" in text
    assert "densenet" not in text
    with pytest.raises(UserError, match=r"unknown model 'wrm' \(did you mean 'wrn'\?\)"):
        reslab("models", "wrm")


def test_every_command_has_help_for_all_it_takes(folder):
    """No command and no argument without a word on what it is."""
    import typer

    command = typer.main.get_command(app)
    for name, each in command.commands.items():
        assert each.help, name
        for parameter in each.params:
            assert parameter.name == "help" or parameter.help, (name, parameter.name)


@pytest.mark.slow
def test_dvc_tries_changes_on_top_of_a_part_of_a_study(project):
    """select writes what stands in params.yaml; `dvc exp run -S` changes that, and trains nothing that was not selected."""
    folder, before = project, set(records(project))
    call(folder, "reslab", "select", "digits-tau", "--rows", "*-bn", "--seeds", "4")
    call(folder, "dvc", "exp", "run", "-S", "train.epochs=1", "-S", "schedule.milestones=[1]")
    study = config.load(folder / "params.yaml")
    assert (list(study.experiments), study.seeds) == (["resnet020-bn"], [4])
    assert study.experiments["resnet020-bn"].train.epochs == 1
    assert list(json.loads((folder / "metrics" / "summary.json").read_text())) == ["resnet020-bn"]
    assert set(records(folder)) - before == {("resnet020-bn", 4)}
