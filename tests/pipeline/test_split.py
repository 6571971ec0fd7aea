"""A study whose experiments are in several DVC files: it is the same study, and nothing of it is made again."""

from pathlib import Path

from project import call, edit, starts


def reslab(folder: Path, *arguments: str) -> str:
    return call(folder, "env", "PYTHONPATH=src", "python", "-c", "from reslab.cli import main; main()", *arguments).stdout


def assert_up_to_date(folder: Path) -> None:
    assert "up to date" in call(folder, "dvc", "status").stdout


def test_a_split_study_is_up_to_date_and_goes_on(project):
    before = starts(project)
    assert "2 experiments in 2 files" in reslab(project, "split", "--experiments", "1")
    assert "matrix" not in (project / "dvc.yaml").read_text()
    assert_up_to_date(project)
    edit(project, "params.yaml", "  plain-tau: {}", "  plain-tau: {}\n  third:\n    model:\n      tau: 0.5")
    assert "3 experiments in 2 files" in reslab(project, "split", "--experiments", "2")
    assert sorted(path.name for path in (project / "parts").iterdir()) == ["000", "001"]
    call(project, "dvc", "repro")
    found = starts(project)
    assert {key: found[key] for key in before} == before
    assert sorted(found.keys() - before.keys()) == [("third", 0), ("third", 1)]
    assert "third" in (project / "metrics/tables/results.md").read_text()
    assert "6 finished, 0 to start" in reslab(project, "train")
    assert "3 experiments in 1 files" in reslab(project, "split")
    assert_up_to_date(project)
