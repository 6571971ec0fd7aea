"""Keeping the results of a study when another one takes its place."""

import re
import shutil

import pytest

from reslab import cli
from reslab.cli.results import index
from reslab.errors import UserError


def test_results_are_kept_beside_those_of_other_studies(repository, tmp_path):
    """The shipped study's committed results, kept under two names."""
    params, results = tmp_path / "params.yaml", tmp_path / "results"
    for name in ("one", "two"):
        params.write_text(re.sub(r"(?m)^study: .*$", f"study: {name}", (repository / "params.yaml").read_text()))
        cli.results.keep(params, repository / "metrics", results)
    table = (repository / "metrics/tables/results.md").read_text()
    for name in ("one", "two"):
        assert (results / name / "tables" / "results.md").read_text() == table
        assert (results / name / "summary.json").read_bytes() == (repository / "metrics/summary.json").read_bytes()
        assert {path.name for path in (results / name / "runs").iterdir()} == {
            path.name for path in (repository / "metrics/runs").iterdir()
        }
    page = (results / "README.md").read_text()
    assert page == index(results)
    assert page.count(table) == 2
    assert page.index("[one](one/tables/results.md)") < page.index("[two](two/tables/results.md)")


def test_results_of_another_study_are_not_kept_under_this_ones_name(repository, tmp_path):
    shutil.copytree(repository / "metrics" / "runs", tmp_path / "metrics" / "runs")
    next((tmp_path / "metrics" / "runs").iterdir()).unlink()
    with pytest.raises(UserError, match=r"metrics/runs holds .*, not the study in .*params\.yaml; run `dvc repro`"):
        cli.results.keep(repository / "params.yaml", tmp_path / "metrics", tmp_path / "results")
    assert not (tmp_path / "results").exists()


def test_the_kept_results_are_listed(repository):
    if not (repository / "results").exists():
        pytest.skip("no results are kept")
    assert (repository / "results" / "README.md").read_text() == index(repository / "results")
