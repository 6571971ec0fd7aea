"""What users of DVC type, on one trained study with a remote: each verb behaves as they know it."""

import json
import shutil
from pathlib import Path

import pytest
from commands import stage_here
from project import call, commit, copy, edit, starts

UP_TO_DATE = "Data and pipelines are up to date."


@pytest.fixture(scope="module")
def origin(trained, tmp_path_factory) -> Path:
    """The trained study with a remote in a folder, pushed: what a colleague clones."""
    folder = copy(trained, tmp_path_factory.mktemp("verbs") / "reslab")
    call(folder, "dvc", "remote", "add", "-d", "store", str(folder.with_name("store")))
    commit(folder, "a remote")
    call(folder, "dvc", "push")
    return folder


def cloned(origin: Path, target: Path) -> Path:
    call(origin.parent, "git", "clone", "--quiet", str(origin), str(target))
    return target


def test_a_trained_study_is_clean_and_can_be_saved_and_committed(origin):
    """Also beside pipelines that were never run."""
    assert UP_TO_DATE in call(origin, "dvc", "status").stdout
    call(origin, "dvc", "commit")
    assert "saved as: kept" in call(origin, "dvc", "exp", "save", "--name", "kept").stdout
    assert "in sync" in call(origin, "dvc", "status", "--cloud").stdout
    assert call(origin, "git", "status", "--porcelain").stdout == ""
    call(origin, "dvc", "exp", "remove", "kept")


def test_a_colleagues_pull_trains_nothing(origin, tmp_path):
    folder = cloned(origin, tmp_path / "second")
    call(folder, "dvc", "pull")
    assert UP_TO_DATE in call(folder, "dvc", "status").stdout
    assert UP_TO_DATE in (printed := call(folder, "dvc", "repro").stdout)
    assert "Running stage" not in printed
    assert starts(folder) == starts(origin)
    assert (folder / "data" / "layers" / "not_measured.txt").is_file()
    assert call(folder, "git", "status", "--porcelain").stdout == ""


@pytest.mark.slow
def test_half_a_study_is_no_study(origin, tmp_path):
    """`repro --pull --allow-missing` fetches what a stage depends on, if DVC knows it; the rest is asked for, not left out."""
    folder = cloned(origin, tmp_path / "third")
    assert UP_TO_DATE in call(folder, "dvc", "repro", "--pull", "--allow-missing").stdout
    call(folder, "dvc", "pull", "data/predictions/own-tau")
    edit(folder, "params.yaml", "title: Small", "title: Other")
    done = call(folder, "dvc", "repro", "--single-item", "aggregate", check=False)
    assert "error: data/predictions: no predictions of plain-tau-s0, plain-tau-s1; run `dvc pull`" in done.stderr
    assert not (folder / "metrics" / "tables" / "results.md").exists()


@pytest.mark.slow
def test_experiments_are_shared_renamed_applied_and_become_branches(origin, tmp_path):
    folder = cloned(origin, tmp_path / "fourth")
    call(folder, "dvc", "pull")
    edit(folder, "params.yaml", "title: Small", "title: Other")
    call(folder, "dvc", "exp", "save", "--name", "first")
    call(folder, "git", "checkout", "--quiet", ".")
    call(folder, "dvc", "exp", "rename", "first", "titled")
    call(folder, "dvc", "exp", "push", "origin", "titled")
    assert "titled" in call(origin, "dvc", "exp", "list", "--name-only").stdout
    call(folder, "dvc", "exp", "remove", "titled")
    assert "titled" not in call(folder, "dvc", "exp", "list", "--name-only").stdout
    call(folder, "dvc", "exp", "pull", "origin", "titled")
    call(folder, "dvc", "exp", "apply", "titled")
    assert "title: Other" in (folder / "params.yaml").read_text()
    call(folder, "git", "checkout", "--quiet", ".")
    call(folder, "dvc", "exp", "branch", "titled", "another-title")
    assert "another-title" in call(folder, "git", "branch").stdout


@pytest.mark.slow
def test_an_experiment_older_than_the_remote_is_pushed_whole_if_the_remote_is_a_local_one(trained, tmp_path):
    folder, store = copy(trained, tmp_path / "reslab"), tmp_path / "store"
    call(tmp_path, "git", "init", "--quiet", "--bare", "hosted.git")
    call(folder, "git", "remote", "set-url", "origin", str(tmp_path / "hosted.git"))
    edit(folder, "params.yaml", "title: Small", "title: Other")
    call(folder, "dvc", "exp", "save", "--name", "early")
    call(folder, "git", "checkout", "--quiet", ".")
    call(folder, "dvc", "remote", "add", "-d", "store", str(store))
    commit(folder, "a remote")
    call(folder, "dvc", "exp", "push", "origin", "early")
    assert not store.exists()
    call(folder, "dvc", "remote", "add", "--local", "-d", "store", str(store))
    call(folder, "dvc", "exp", "push", "origin", "early")
    assert len([path for path in store.rglob("*") if path.is_file()]) > 20


def test_dropped_experiments_are_left_out_and_named(project):
    edit(project, "params.yaml", "  own-tau:\n    model:\n      norm: none\n      tau: 1/sqrt(L)\n", "")
    done = stage_here(project, "aggregate.py", "metrics")
    assert "note: metrics/runs: left out, of no experiment in params.yaml: own-tau.json" in done.stdout
    assert list(json.loads((project / "metrics" / "summary.json").read_text())) == ["plain-tau"]
    assert "own-tau" not in (project / "metrics" / "report.html").read_text()


@pytest.fixture(scope="module")
def plots(origin) -> Path:
    """The page of `dvc plots show`, of a study in which one experiment diverged."""
    curves = origin / "metrics" / "curves" / "curves.csv"
    before = curves.read_text()
    rows = [line.split(",") for line in before.splitlines()]
    loss = rows[0].index("train_loss")
    for row, value in zip(rows[1:], ("", "inf", "nan"), strict=False):
        row[loss] = value
    curves.write_text("\n".join(map(",".join, rows)) + "\n")
    try:
        page = Path(call(origin, "dvc", "plots", "show").stdout.strip().splitlines()[-1].removeprefix("file://"))
    finally:
        curves.write_text(before)
    shutil.move(page.parent, origin.parent / "plots")
    return origin.parent / "plots" / page.name


def test_the_page_of_plots_is_whole_without_a_network(plots):
    text = plots.read_text()
    assert 'src="http' not in text and "cdn." not in text
    assert 'title": "Confusion"' in text
    shown = {path.name for path in (plots.parent / "static").iterdir()}
    assert {f"workspace_data_mistakes_{name}.png" for name in ("own-tau", "plain-tau")} <= shown
    assert {f"workspace_metrics_plots_{name}.svg" for name in ("curves", "depth_and_tau", "reliability")} <= shown
    assert "<DVC_METRIC" not in text


def test_a_loss_that_diverged_is_not_drawn_as_zero(plots, browser):
    noted, drawn = plots.read_text().replace("\n<body>\n", f"\n<body>{NOTED}\n"), plots.with_name("drawn.html")
    drawn.write_text(noted + DRAWN)
    found = browser.dom(drawn)
    assert "points of Test error: 4<" in found
    assert "points of Training loss: 1<" in found  # the other three are not finite


NOTED = "<script>const specs = []; vegaEmbed = (id, spec) => specs.push(spec);</script>"
DRAWN = """<script>
const points = (mark) => mark.marktype === "symbol" && mark.role === "mark" ? mark.items.length
  : mark.items.flatMap((item) => item.items ?? []).reduce((sum, inner) => sum + points(inner), 0);
for (const spec of specs) {
  const view = new vega.View(vega.parse(vegaLite.compile(spec).spec), { renderer: "none" }).run();
  const line = document.createElement("p");
  line.textContent = `points of ${spec.title}: ${points(view.scenegraph().root)}`;
  document.body.append(line);
}</script>"""
