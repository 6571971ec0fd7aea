"""`reslab compare` on branches, experiments of DVC and folders of a really trained study."""

import contextlib
import re
import shutil
from pathlib import Path

import pytest
from commands import reslab
from project import call, commit, copy, edit

from reslab.errors import UserError
from reslab.runs.records import read_record, write_record


def compare_in(folder: Path, *names: str) -> str:
    with contextlib.chdir(folder):
        return reslab("compare", *names)


def with_others(folder, name: str, errors: list[float], *, tau: float = 1.0, **changes) -> None:
    """Other networks with these errors in an experiment's record."""
    path = folder / "metrics" / "runs" / f"{name}.json"
    record = read_record(path)
    for run, error in zip(record["runs"], errors, strict=True):
        run |= {"test_error": error, "identity": f"another {run['identity']}", "status": "finished"} | changes
        run["config"]["model"]["tau"] = tau
    write_record(path, record)


def _experiment(folder, began: str, name: str) -> str:
    """The reference that `dvc exp run` leaves."""
    sha = call(folder, "git", "rev-parse", began).stdout.strip()
    return f"refs/exps/{sha[:2]}/{sha[2:]}/{name}"


@pytest.fixture(scope="module")
def branched(trained, tmp_path_factory):
    """The trained study, a branch and an experiment of DVC with another tau, and a kept folder."""
    folder = copy(trained, tmp_path_factory.mktemp("compare") / "reslab")
    edit(folder, "params.yaml", "tau: 1.0", "tau: 0.136")
    with_others(folder, "plain-tau", [0.05, 0.051], tau=0.136)
    call(folder, "git", "checkout", "--quiet", "-b", "smaller-tau")
    commit(folder, "smaller tau")
    call(folder, "git", "checkout", "--quiet", "main")
    call(folder, "git", "update-ref", _experiment(folder, "main", "tau136"), "smaller-tau")
    for part in ("runs", "environments"):
        shutil.copytree(folder / "metrics" / part, folder / "results" / "kept" / part)
    shutil.copy2(folder / "params.yaml", folder / "results" / "kept")
    return folder


@pytest.mark.parametrize("names", [["main", "smaller-tau"], ["main", "tau136"], ["results/kept", "smaller-tau"], []])
def test_what_was_changed_and_what_it_brought(branched, names):
    printed = compare_in(branched, *names)
    (first, second) = names or ["HEAD", "tau136"]
    lines = [line.split() for line in printed.splitlines()]
    assert lines[0] == ["model.tau", "plain-tau", "%"]
    rows = {line[0]: line[1:] for line in lines[2:4]}
    assert rows[first][0] == "1" and rows[second] == ["0.136", "5.05", "±", "0.07"]
    assert f"verdict against {first}" in printed and "undecided at n = 2" in printed
    assert "The same networks on all sides: own-tau." in printed
    page = (branched / "compare.html").read_text()
    assert page.count("What it brought") == 1 and "undecided at n = 2" in page and "0.136" in page
    assert "Holm's correction for the 1 test here" in printed and "minus" in page
    assert call(branched, "git", "status", "--porcelain", "--", "compare.html").stdout == ""


def test_the_workspace_is_listed_if_its_networks_are_no_others(branched, tmp_path):
    """After `dvc exp run` it is the experiment; with other networks it stands beside HEAD, and without committed results first."""
    folder = copy(branched, tmp_path / "reslab")
    call(folder, "git", "checkout", "--quiet", "smaller-tau", "--", ".")
    assert "workspace" not in compare_in(folder)
    with_others(folder, "plain-tau", [0.2, 0.21], tau=0.3)
    printed = compare_in(folder)
    assert [line.split()[0] for line in printed.splitlines()[2:5]] == ["HEAD", "workspace", "tau136"]
    call(folder, "git", "rm", "--quiet", "--cached", "--force", "-r", "metrics/runs")
    call(folder, "git", "commit", "--quiet", "-m", "no results")
    call(folder, "git", "update-ref", _experiment(folder, "HEAD", "tau136"), "smaller-tau")
    printed = compare_in(folder)
    assert [line.split()[0] for line in printed.splitlines()[2:4]] == ["workspace", "tau136"]


def test_experiments_that_a_commit_left_behind_are_named(branched, tmp_path):
    folder = copy(branched, tmp_path / "reslab")
    call(folder, "git", "commit", "--quiet", "--allow-empty", "-m", "later")
    with pytest.raises(UserError, match=r"no experiments of this commit \(tau136 began at others\): make some .* or name what"):
        compare_in(folder)


def test_one_set_of_networks_under_two_names_is_tested_once(branched):
    """An experiment of DVC and the branch that `dvc exp branch` made of it."""
    printed = compare_in(branched, "main", "tau136", "smaller-tau")
    assert "for the 1 test here" in printed
    assert len(re.findall(r"^plain-tau +tau136, smaller-tau ", printed, re.MULTILINE)) == 1


def test_seeds_that_are_in_no_mean_are_counted_beside_it(branched, tmp_path):
    folder = copy(branched, tmp_path / "reslab")
    with_others(folder, "plain-tau", [0.05, 0.9])
    assert re.search(r"^workspace .* 5\.00 \(1 of 2 did not train\)", compare_in(folder, "main", "workspace"), re.MULTILINE)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["nowhere"], "'nowhere': no folder with results, and no branch, tag, commit or DVC experiment"),
        (["main", "main"], "main is named twice"),
        (["results"], "results/params.yaml: no such file; results is no folder with results"),
        (["main", "--output", "params.yaml"], "params.yaml: unknown format; give a .html"),
        (["main", "--output", "none/x.html"], "none/x.html: there is no folder none; make it first"),
        (["main", "--output", "docs"], "docs: is a folder; give a file"),
        (["--", "-x"], "'-x': no folder with results"),
    ],
)
def test_what_cannot_be_compared_is_named(branched, names, message):
    with pytest.raises(UserError, match=re.escape(message)):
        compare_in(branched, *names)


def test_a_narrow_terminal_shows_whole_verdicts(branched, monkeypatch):
    """A verdict that would leave no room for the numbers has a line of its own."""
    monkeypatch.setenv("COLUMNS", "80")
    printed = compare_in(branched, "main", "smaller-tau", "results/kept").split("error after the last epoch")[0]
    assert [line for line in printed.splitlines() if line.startswith("    undecided at n = 2: ")]
    assert " of " in printed and "smaller-tau" in printed  # whose difference it is


def test_the_records_are_believed_and_not_an_edited_params_file(branched, tmp_path):
    folder = copy(branched, tmp_path / "reslab")
    edit(folder, "params.yaml", "tau: 1.0", "tau: 0.5")
    printed = compare_in(folder, "workspace", "smaller-tau")
    rows = {line.split()[0]: line.split()[1] for line in printed.splitlines()[2:4]}
    assert rows == {"workspace": "1", "smaller-tau": "0.136"}
    assert "workspace: params.yaml was changed after plain-tau was trained; shown is what was trained" in printed
    assert "smaller-tau: params.yaml was changed" not in printed


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("name: digits", "name: digits\n  validation: 0", None),  # another text, the same dataset
        ("name: digits", "name: digits\n  image_size: 16", "after plain-tau, own-tau were trained"),
        ("tau: 1.0", "tau: 0.5", "after plain-tau was trained"),
    ],
)
def test_an_edited_dataset_is_named(branched, tmp_path, old, new, said):
    folder = copy(branched, tmp_path / "reslab")
    edit(folder, "params.yaml", old, new)
    printed = compare_in(folder, "workspace", "main")
    assert ("params.yaml was changed" in printed) == bool(said) and (said or "") in printed


def test_a_damaged_lock_file_is_named(branched, tmp_path):
    folder = copy(branched, tmp_path / "reslab")
    (folder / "dvc.lock").write_text("stages: {evaluate@own-tau: [}\n")
    with pytest.raises(UserError, match=r"dvc.lock: not what DVC writes \(.*`git checkout dvc.lock`"):
        compare_in(folder, "workspace", "main")


def test_one_name_of_two_experiments(branched, tmp_path):
    """Of the same name, the one that began at this commit is meant; elsewhere none is preferred, nor a folder without results."""
    folder = copy(branched, tmp_path / "reslab")
    with_others(folder, "plain-tau", [0.2, 0.21], tau=0.3)
    commit(folder, "another tau")
    for name in ("tau136", "layers"):
        call(folder, "git", "update-ref", _experiment(folder, "smaller-tau", name), "main")
    call(folder, "git", "reset", "--quiet", "--hard", "main~1")
    assert "0.136" in compare_in(folder, "main", "tau136") and "0.136" in compare_in(folder)
    assert "0.136" not in compare_in(folder, "main", "smaller-tau~1")
    call(folder, "git", "checkout", "--quiet", "--detach", "main~1")
    with pytest.raises(UserError, match=r"'tau136': several DVC experiments have this name; give the commit of one: \w{8} \(began"):
        compare_in(folder, "main", "tau136")
    (folder / "tau136").mkdir()
    with pytest.raises(UserError, match="several DVC experiments have this name"):
        compare_in(folder, "main", "tau136")
    call(folder, "git", "checkout", "--quiet", "smaller-tau")
    assert "0.3" in compare_in(folder, "smaller-tau", "layers")


def test_a_branch_without_records_and_another_dataset(branched):
    call(branched, "git", "checkout", "--quiet", "-b", "empty", "main")
    call(branched, "git", "rm", "-rq", "metrics/runs")
    commit(branched, "no records")
    call(branched, "git", "checkout", "--quiet", "main", "--", "metrics")
    held_out = {"name": "digits", "train": 1417, "validation": 20, "test": 360}
    with_others(branched, "plain-tau", [0.05, 0.051], dataset=held_out, dataset_checksum="another")
    commit(branched, "held out")
    call(branched, "git", "checkout", "--quiet", "main")
    call(branched, "git", "branch", "layers", "empty~1")  # the name of a folder without results
    for name in ("empty~1", "layers"):
        with pytest.raises(UserError, match=f"{name}: git: "):
            compare_in(branched, "main", name)
    printed = compare_in(branched, "main", "empty")
    assert "empty has another dataset than main" in printed
    assert "verdict against" not in printed
