"""Keeping the results of a study when another one takes its place."""

import contextlib
import json
import os
import re
import shutil
from pathlib import Path

import pytest
import small_disk
from commands import reslab
from project import call

from reslab.cli.docs import gallery
from reslab.cli.results import keep, refresh
from reslab.errors import UserError
from reslab.runs import table_checksums


def test_results_are_kept_beside_those_of_other_studies(repository, metrics, tmp_path):
    """The shipped study's, kept under two names."""
    params, results = tmp_path / "params.yaml", tmp_path / "results"
    shutil.copy2(metrics / "runs" / "resnet020-bn.json", metrics / "runs" / "of-another-study.json")
    for name in ("one", "two"):
        params.write_text(re.sub(r"(?m)^study: .*$", f"study: {name}", (repository / "params.yaml").read_text()))
        keep(params, metrics, results)
    table = (repository / "metrics/tables/results.md").read_text()
    for name in ("one", "two"):
        assert (results / name / "tables" / "results.md").read_text() == table
        assert (results / name / "summary.json").read_bytes() == (repository / "metrics/summary.json").read_bytes()
        assert {path.name for path in (results / name / "runs").iterdir()} == {
            path.name for path in (repository / "metrics/runs").iterdir()
        }
    page = (tmp_path / "docs" / "results.md").read_text()
    assert page == gallery.page(results, tmp_path / "docs")
    assert page.count(table) == 2
    assert page.index("## one") < page.index("## two")
    for path in re.findall(r"\]\(\.\./(results/.*?)\)", page):
        assert (tmp_path / path).exists(), path


@pytest.fixture
def metrics(repository, tmp_path):
    """The shipped study's committed results, to change at will."""
    return shutil.copytree(repository / "metrics", tmp_path / "metrics")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("  epochs: 10", "  epochs: 11"),
        ("- 2\n", "- 2\n- 9\n"),
        ("resnet110-nobn", "resnet110-renamed"),
        ("    depth: 110", "    depth: 56"),
    ],
)
def test_results_of_another_study_are_not_kept_under_this_ones_name(repository, metrics, tmp_path, old, new):
    params, text = tmp_path / "params.yaml", (repository / "params.yaml").read_text()
    assert old in text
    params.write_text(text.replace(old, new))
    with pytest.raises(UserError, match=r"metrics is not of the study in .*params\.yaml \(.*\); run `dvc repro`"):
        keep(params, metrics, tmp_path / "results")
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("lost", ["summary.json", "runs/resnet110-nobn.json", "history/resnet110-nobn.csv", "tables"])
def test_what_was_kept_stays_where_a_result_is_missing(repository, metrics, tmp_path, lost):
    results = tmp_path / "results"
    keep(repository / "params.yaml", metrics, results)
    before = sorted(path.relative_to(results) for path in results.rglob("*"))
    (metrics / lost).rename(metrics / "elsewhere")
    with pytest.raises(UserError, match=rf"metrics/{lost}: no such file; run `dvc repro`"):
        keep(repository / "params.yaml", metrics, results)
    assert sorted(path.relative_to(results) for path in results.rglob("*")) == before


def test_what_was_kept_comes_back_after_a_kill_at_the_worst_moment(repository, metrics, tmp_path):
    """Between the two moves; the next `keep` puts it back before anything else, and takes half a draft away."""
    results = tmp_path / "results"
    keep(repository / "params.yaml", metrics, results)
    before = sorted(path.relative_to(results) for path in results.rglob("*"))
    (results / ".digits-tau" / "draft").mkdir(parents=True)
    (results / "digits-tau").rename(results / ".digits-tau" / "before")
    (metrics / "history" / "resnet110-nobn.csv").unlink()
    with pytest.raises(UserError, match="no such file"):
        keep(repository / "params.yaml", metrics, results)
    assert sorted(path.relative_to(results) for path in results.rglob("*")) == before


LAYERED = """
cd "$1" && mkdir -p image/small changes work results && echo old > image/small/table &&
mount -t overlay overlay -o lowerdir=image,upperdir=changes,workdir=work results || exit 77; cd ..
"""
REPLACE = """
import contextlib, sys
from pathlib import Path
from reslab.cli.results import _replaced
folder = Path("disk/results/small")
for fails in (True, False):
    with contextlib.suppress(ZeroDivisionError), _replaced(folder) as draft:
        draft.mkdir()
        (draft / "table").write_text("new")
        1 / (not fails)
    print((folder / "table").read_text().strip(), *(path.name for path in folder.parent.iterdir()))
"""


def test_results_that_are_part_of_a_container_s_image_are_replaced(tmp_path):
    """Such a folder cannot be renamed."""
    (tmp_path / "disk").mkdir()
    done = small_disk.run(REPLACE, tmp_path, disk=tmp_path / "disk", prepare=f"{{ {LAYERED} }}")
    if done.returncode == 77:
        pytest.skip("no layered file system is allowed here")
    assert (done.stdout, done.stderr) == ("old small\nnew small\n", "")


def as_of_an_older_version(path: Path) -> None:
    """Take the marks of its checksum from a record."""
    record = json.loads(path.read_text())
    path.write_text(json.dumps({key: record[key] for key in record if key not in ("file_format", "file_checksum")}))


@pytest.mark.parametrize("place", ["report.html", "plots/more.svg", "history/resnet020-bn.csv"])
def test_a_device_in_place_of_a_result_is_not_copied_for_ever(repository, metrics, tmp_path, place):
    (metrics / "tables" / "checksums.json").unlink()
    for path in [*(metrics / "runs").iterdir(), *(metrics / "environments").iterdir()]:
        as_of_an_older_version(path)
    (metrics / place).unlink(missing_ok=True)
    (metrics / place).symlink_to("/dev/zero")
    with pytest.raises(UserError, match=rf"{place}: is a pipe, a socket or a device"):
        keep(repository / "params.yaml", metrics, tmp_path / "results")


def sparse(path: Path) -> None:
    """A terabyte that takes no room, until it is copied."""
    path.touch()
    os.truncate(path, 2**40)


@pytest.mark.parametrize("place", ["report.html", "plots/more.svg", "history/resnet020-bn.csv"])
@pytest.mark.parametrize("put", [os.mkfifo, sparse])
def test_neither_a_pipe_nor_a_terabyte_is_copied_when_a_kept_study_is_made_again(repository, metrics, tmp_path, place, put):
    keep(repository / "params.yaml", metrics, tmp_path / "results")
    (folder := tmp_path / "results" / "digits-tau").joinpath(place).unlink(missing_ok=True)
    put(folder / place)
    with pytest.raises(UserError, match=rf"{place}: (is a pipe|damaged .larger than 256 MiB)"):
        refresh(["digits-tau"], tmp_path / "results")
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["digits-tau"]


def test_results_may_be_a_link_to_another_disk(repository, metrics, tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "results").symlink_to(tmp_path / "disk")
    keep(repository / "params.yaml", metrics, tmp_path / "results")
    assert "](../results/digits-tau/report.html)" in (tmp_path / "docs" / "results.md").read_text()


LAYERS = """experiment,series
{names}
resnet110-nobn@depth218,tau
"""


@pytest.mark.parametrize("put", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
def test_a_script_that_is_no_file_is_not_waited_for(repository, metrics, tmp_path, monkeypatch, put):
    keep(repository / "params.yaml", metrics, tmp_path / "results")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stages").mkdir()
    put(tmp_path / "stages" / "aggregate.py")
    with pytest.raises(UserError, match=r"stages/aggregate\.py: is a pipe, a socket or a device"):
        refresh(["digits-tau"])
    assert (tmp_path / "results" / "digits-tau" / "tables" / "results.md").exists()


@pytest.mark.parametrize("whose", ["this study's", "another's"])
def test_layers_are_kept_if_they_are_this_studys(repository, metrics, tmp_path, whose):
    names = [path.stem for path in (metrics / "runs").iterdir()] if whose == "this study's" else ["resnet020"]
    shutil.rmtree(metrics / "layers", ignore_errors=True)
    (metrics / "layers").mkdir()
    (metrics / "layers" / "growth.csv").write_text(LAYERS.format(names="\n".join(f"{name},tau" for name in names)))
    (metrics / "layers" / "growth.md").write_text("growth")
    table_checksums.write(metrics / "layers")
    keep(repository / "params.yaml", metrics, tmp_path / "results")
    kept = (tmp_path / "results" / "digits-tau" / "layers" / "growth.md").exists()
    assert kept == (whose == "this study's")
    assert ("growth.md" in (tmp_path / "docs" / "results.md").read_text()) == kept


@pytest.mark.parametrize("name", ["summary.json", "tables/results.md"])
@pytest.mark.parametrize("content", [b'{"resnet020-bn": {"error_percent": 0.01}}', b"", b"[" * 100_000, b"\xff\xfe"])
def test_the_page_shows_no_edited_results(repository, metrics, tmp_path, name, content):
    results = tmp_path / "results"
    keep(repository / "params.yaml", metrics, results)
    assert "resnet020-bn" in gallery.page(results, tmp_path / "docs")
    (results / "digits-tau" / name).write_bytes(content)
    with pytest.raises(UserError, match=rf"{name}: changed since it was made; take it from git"):
        gallery.page(results, tmp_path / "docs")


def test_tables_of_a_kept_study_are_made_again_from_its_records(project):
    """What needs predictions stays; tables, page and plots come out the same, and no MLflow is asked."""
    call(project, "reslab", "keep")
    folder = project / "results" / "small"
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    store = (project / "mlflow.db").read_bytes()
    for name in ("tables/results.md", "tables/comparisons.md", "plots/curves.svg"):
        (folder / name).unlink()
    call(project, "reslab", "refresh", "small")
    again = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert again.keys() == before.keys()
    kept = [folder / name for name in ("tables/comparisons.csv", "tables/mcnemar.csv", "tables/classes.csv", "plots/curves.svg")]
    assert all(again[path] == before[path] for path in kept)
    assert (project / "mlflow.db").read_bytes() == store
    (folder / "tables" / "classes.csv").write_text("class,error\n0,0.0\n")
    (folder / "tables" / "results.md").write_text("made by what is not installed any more")
    refused = call(project, "reslab", "refresh", "small", check=False)
    assert (folder / "tables" / "results.md").read_text() == "made by what is not installed any more"
    assert refused.stderr.startswith("error: results/small/tables/classes.csv: changed since it was made; take it from git\n")
    refused = call(project, "reslab", "refresh", "smal", check=False)
    assert (
        refused.stderr
        == "error: unknown study 'smal' (did you mean 'small'?); allowed: "
        + ", ".join(sorted(path.name for path in (project / "results").iterdir() if path.is_dir()))
        + "\n"
    )


def test_a_changed_history_is_not_kept(repository, metrics, tmp_path):
    path = metrics / "history" / "resnet020-bn.csv"
    path.write_bytes(path.read_bytes().replace(b"1", b"2", 1))
    with pytest.raises(UserError, match=r"resnet020-bn\.csv: damaged, or not the file that its record tells of"):
        keep(repository / "params.yaml", metrics, tmp_path / "results")


def test_damage_is_named_before_anything_is_drawn(repository, tmp_path):
    kept = shutil.copytree(repository / "results" / "tau-theory-digits", tmp_path / "kept")
    growth = kept / "layers" / "growth.csv"
    growth.write_text(growth.read_text().replace("power000", "power001", 1))
    with contextlib.chdir(tmp_path), pytest.raises(UserError, match=r"growth\.csv: changed since it was made"):
        reslab("figures", "kept", "--output", "paper")
    assert not (tmp_path / "paper").exists()


def test_the_figures_of_a_study_are_made_for_a_paper(trained, tmp_path):
    with contextlib.chdir(trained):
        printed = reslab("figures", "--output", str(tmp_path / "paper"))
        again = reslab("figures", "--output", str(tmp_path / "again"))
    files = sorted(path.name for path in (tmp_path / "paper").iterdir())
    assert files == ["curves.pdf", "depth_and_tau.pdf", "reliability.pdf"]
    assert [Path(line).name for line in printed.split()] == ["curves.pdf", "depth_and_tau.pdf", "reliability.pdf"]
    assert len(again.split()) == 3
    for name in files:
        content = (tmp_path / "paper" / name).read_bytes()
        assert content.startswith(b"%PDF-") and b"/FontFile2" in content  # TrueType
        assert content == (tmp_path / "again" / name).read_bytes()


def test_figures_of_kept_results_say_what_they_cannot_draw(repository, tmp_path):
    with contextlib.chdir(repository):
        printed = reslab("figures", "results/tau-theory-digits", "--output", str(tmp_path))
        with pytest.raises(UserError, match=r"LICENSE: is a file; give a folder"):
            reslab("figures", "--output", "LICENSE")
        with pytest.raises(UserError, match=r"results/none/params\.yaml: no such file"):
            reslab("figures", "results/none", "--output", str(tmp_path))
    assert {"curves.pdf", "depth_and_tau.pdf", "growth.pdf", "threshold.pdf"} <= {path.name for path in tmp_path.iterdir()}
    assert "left out reliability.pdf: no predictions of" in printed
    boxes = {
        path.stem: re.search(rb"/MediaBox \[ 0 0 (\S+) (\S+) \]", path.read_bytes()).groups() for path in tmp_path.glob("*.pdf")
    }
    assert {round(float(width)) for width, _ in boxes.values()} == {486}  # points: the width of a page
    assert float(boxes["depth_and_tau"][1]) > 3.5 * 72  # nine rows of a legend leave the axes their room
