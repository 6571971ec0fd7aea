"""Keeping the results of a study when another one takes its place."""

import re
import shutil

import pytest

from reslab import cli
from reslab.cli.results import KEPT_MARKS, index, overview, with_results
from reslab.errors import UserError


def test_results_are_kept_beside_those_of_other_studies(repository, tmp_path):
    """The shipped study's committed results, kept under two names."""
    params, results, metrics = tmp_path / "params.yaml", tmp_path / "results", tmp_path / "metrics"
    shutil.copytree(repository / "metrics", metrics)
    shutil.copy2(metrics / "runs" / "resnet020-bn.json", metrics / "runs" / "of-another-study.json")
    for name in ("one", "two"):
        params.write_text(re.sub(r"(?m)^study: .*$", f"study: {name}", (repository / "params.yaml").read_text()))
        cli.results.keep(params, metrics, results)
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
    assert page.index("## one") < page.index("## two")
    for path in re.findall(r"\]\((.*?)\)", page):
        assert (results / path).exists(), path


def test_results_of_another_study_are_not_kept_under_this_ones_name(repository, tmp_path):
    metrics = tmp_path / "metrics"
    metrics.mkdir()
    with pytest.raises(UserError, match=r"metrics/summary\.json: there are no results yet; run `dvc repro`"):
        cli.results.keep(repository / "params.yaml", metrics, tmp_path / "results")
    (metrics / "summary.json").write_text('{"resnet020": {}}')
    with pytest.raises(UserError, match=r"metrics/summary\.json is not of the study in .*params\.yaml; run `dvc repro`"):
        cli.results.keep(repository / "params.yaml", metrics, tmp_path / "results")
    assert not (tmp_path / "results").exists()


def test_the_kept_results_are_listed(repository):
    if not (repository / "results").exists():
        pytest.skip("no results are kept")
    assert (repository / "results" / "README.md").read_text() == index(repository / "results")
    page = (repository / "README.md").read_text()
    assert with_results(page, overview(repository / "results"), KEPT_MARKS) == page


LAYERS = """experiment,series
{names}
resnet110-nobn@depth218,tau
"""


@pytest.mark.parametrize("whose", ["this study's", "another's"])
def test_layers_are_kept_if_they_are_this_studys(repository, tmp_path, whose):
    metrics = tmp_path / "metrics"
    shutil.copytree(repository / "metrics", metrics)
    names = [path.stem for path in (metrics / "runs").iterdir()] if whose == "this study's" else ["resnet020"]
    shutil.rmtree(metrics / "layers", ignore_errors=True)
    (metrics / "layers").mkdir()
    (metrics / "layers" / "growth.csv").write_text(LAYERS.format(names="\n".join(f"{name},tau" for name in names)))
    (metrics / "layers" / "growth.md").write_text("growth")
    cli.results.keep(repository / "params.yaml", metrics, tmp_path / "results")
    kept = (tmp_path / "results" / "digits-tau" / "layers" / "growth.md").exists()
    assert kept == (whose == "this study's")
    assert ("growth.md" in (tmp_path / "results" / "README.md").read_text()) == kept
