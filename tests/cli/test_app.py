"""The reslab command where no pipeline has to run; relog, select and parallel are tested with the real tools elsewhere."""

import os
import sys
import tomllib
from importlib.metadata import version

import pytest
from commands import reslab
from project import REPOSITORY, SMALL_PARAMS, call

from reslab.cli.commands import PANELS
from reslab.cli.docs.markdown import with_block
from reslab.cli.project import check
from reslab.cli.results import README_MARKS
from reslab.data import prepared
from reslab.errors import UserError


def test_check_finds_what_is_wrong_without_running_anything(tmp_path, small_images, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text(SMALL_PARAMS)
    prepared.save(small_images, tmp_path / "data" / "prepared", name="digits", validation=0)
    assert "params.yaml is valid: 2 experiments x 2 seeds" in reslab("check")
    (tmp_path / "params.yaml").write_text(SMALL_PARAMS.replace("depth: 8", "depth: 9"))
    with pytest.raises(UserError, match=r"^params\.yaml: experiments\.plain-tau: model: depth 9 is impossible"):
        reslab("check")
    (tmp_path / "params.yaml").write_text(SMALL_PARAMS.replace("epochs: 2", "epochs: two"))
    done = call(tmp_path, "reslab", "check", check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: params.yaml: train.epochs: 'two' is not allowed")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "name: tau_resnet",
            "name: tau_resne",
            "experiments.plain-tau: model.name: unknown name 'tau_resne' (did you mean 'tau_resnet'?)",
        ),
        ("tau: 1/sqrt(L)", "tau: 1/sqr(L)", "experiments.own-tau: model: tau '1/sqr(L)' "),
        ("depth: 8", "depth: 21", "experiments.plain-tau: model: depth 21 is impossible"),
        ("name: digits", "{name: digits, validation: 1430}", "dataset.validation: 1430 is not allowed: 0, or 10 to 1427 images"),
        ("name: computed", "{name: published, constants: cifar10}", "experiments.plain-tau: normalize: mean "),
    ],
)
def test_check_finds_mistakes_before_the_data_is_there(old, new, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text(SMALL_PARAMS.replace(old, new))
    with pytest.raises(UserError) as raised:
        check()
    assert str(raised.value).startswith(f"params.yaml: {message}")


def test_check_says_by_what_it_went(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text(SMALL_PARAMS)
    check()
    said = "params.yaml is valid: 2 experiments x 2 seeds (checked with the known size of digits; the data is not there yet)\n"
    assert capsys.readouterr().out == said
    folder = "{name: image_folder, source: FOLDER, image_size: 8, channels: 1}"
    (tmp_path / "params.yaml").write_text(SMALL_PARAMS.replace("name: digits", folder.replace("FOLDER", "data/mine")))
    check()
    assert capsys.readouterr().out.startswith(
        "params.yaml: the syntax is valid; the size of mine is unknown until it is fetched, so run "
    )
    (tmp_path / "params.yaml").write_text(
        SMALL_PARAMS.replace("name: digits", folder.replace("FOLDER", "data/cifar10-jpeg.tar.xz"))
    )
    check()
    assert "with the known size of cifar10-jpeg; the data is not there yet" in capsys.readouterr().out


LATE = SMALL_PARAMS.replace("name: cosine", "{name: multistep, milestones: [1, 2, 5]}").replace("schedule:\n  {", "schedule: {")


def test_check_and_schedule_say_which_milestones_are_never_reached(tmp_path, small_images, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text(LATE)
    late = SMALL_PARAMS.replace("name: cosine", "{name: multistep, milestones: [1, 40]}").replace("schedule:\n  {", "schedule: {")
    (tmp_path / "late.yaml").write_text(late)
    without_data = reslab("check", "--params", "late.yaml")
    assert "experiments.plain-tau and 1 more: the run ends before milestone 40 (epochs)\n" in without_data
    prepared.save(small_images, tmp_path / "data" / "prepared", name="digits", validation=0)
    said = "experiments.plain-tau and 1 more: the run ends before milestone 2, 5 (epochs)"
    assert reslab("check").splitlines() == [said, "params.yaml is valid: 2 experiments x 2 seeds"]
    drawn = reslab("schedule", "own-tau", "--images", "1000")
    assert drawn == "the run ends before milestone 2, 5 (epochs)\nschedule.png: 16 steps of 128 images, 8 an epoch\n"


def test_relog_says_which_store_it_cannot_use(tmp_path, monkeypatch):
    (tmp_path / "params.yaml").write_text(SMALL_PARAMS)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "foo://nowhere")
    done = call(tmp_path, "reslab", "relog", check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: MLflow store foo://nowhere: ")
    assert "Traceback" not in done.stderr


def test_schedule_draws_the_rate_before_any_data_is_there(tmp_path, small_images, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text(SMALL_PARAMS.replace(" lr: 0.1", " lr: 0.1*B/128"))
    done = call(tmp_path, "reslab", "schedule", "own-tau", check=False)
    assert done.stderr.startswith("error: data/prepared: no digits there yet; give --images")
    drawn = reslab("schedule", "own-tau", "--images", "1000", "--output", "rate.svg")
    assert drawn == "rate.svg: 16 steps of 128 images, 8 an epoch\n"
    assert "<svg" in (tmp_path / "rate.svg").read_text()
    prepared.save(small_images, tmp_path / "data" / "prepared", name="digits", validation=0)
    assert reslab("schedule", "own-tau") == "schedule.png: 2 steps of 128 images, 1 an epoch\n"
    assert (tmp_path / "schedule.png").read_bytes().startswith(b"\x89PNG")
    for arguments, message in (
        (["own-tua"], "params.yaml: experiments: unknown name 'own-tua' (did you mean 'own-tau'?)"),
        (["own-tau", "--output", "rate.gif"], "rate.gif: unknown format; allowed: .png, .svg, .pdf"),
    ):
        with pytest.raises(UserError) as raised:
            reslab("schedule", *arguments)
        assert str(raised.value).startswith(message)
    (tmp_path / "params.yaml").write_text(SMALL_PARAMS.replace(" lr: 0.1", " lr: 0.1+B"))
    with pytest.raises(UserError, match=r"^params\.yaml: experiments\.own-tau: optimizer\.lr: '0\.1\+B' is not allowed"):
        reslab("schedule", "own-tau")


def test_prune(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    old = tmp_path / "checkpoints" / "abc"
    old.mkdir(parents=True)
    os.utime(old, (0, 0))
    assert "would delete" in reslab("prune", "--dry-run")
    assert old.exists()
    assert "deleted" in call(tmp_path, "reslab", "prune").stdout
    assert reslab("prune", "--dry-run").startswith("nothing to prune: ")
    assert not old.exists()


def test_readme_results_are_replaced_between_the_marks():
    start, end = README_MARKS
    page = f"before\n{start}\nold\nrows \\1\n{end}\nafter\n"
    assert with_block(page, "new \\g<0>\n", README_MARKS) == f"before\n{start}\n\nnew \\g<0>\n\n{end}\nafter\n"
    with pytest.raises(UserError, match="no lines"):
        with_block("no marks", "new", README_MARKS)


def test_the_readme_shows_the_committed_results(repository, tmp_path):
    """The results table is generated, never typed."""
    if "study: digits-tau\n" not in call(repository, "git", "show", "HEAD:params.yaml").stdout:
        pytest.skip("this branch holds another study")
    call(repository, "git", "archive", "--output", str(tmp_path / "head.tar"), "HEAD", "README.md", "params.yaml", "metrics")
    call(tmp_path, "tar", "-xf", "head.tar")
    committed = (tmp_path / "README.md").read_text()
    call(tmp_path, "reslab", "readme")
    assert (tmp_path / "README.md").read_text() == committed


def test_report_says_where_the_page_is_and_opens_it(tmp_path, monkeypatch):
    done = call(tmp_path, "reslab", "report", check=False)
    assert done.stderr == "error: metrics/report.html: no such file; `dvc repro` makes it\n"
    (tmp_path / "metrics").mkdir()
    page = tmp_path / "metrics" / "report.html"
    page.write_text("<p>page</p>")
    monkeypatch.chdir(tmp_path)
    assert reslab("report").strip() == page.as_uri()
    viewer = tmp_path / "viewer"
    viewer.write_text('#!/bin/sh\necho "$1" > seen\n')
    viewer.chmod(0o755)
    monkeypatch.setenv("BROWSER", f"{viewer} %s")
    call(tmp_path, "reslab", "report", "--open")
    assert (tmp_path / "seen").read_text().strip() == page.as_uri()
    viewer.write_text("#!/bin/sh\nexit 1\n")
    monkeypatch.setenv("PATH", str(tmp_path))  # no other browser either
    done = call(tmp_path, "reslab", "report", "--open", check=False)
    assert done.returncode == 1
    assert "no browser to show metrics/report.html in; set BROWSER to one" in done.stderr


def test_help_groups_the_commands():
    text = reslab("--help")
    headings = [text.index(f" {panel} ") for panel in PANELS.values()]
    assert headings == sorted(headings)


def test_the_version_is_that_of_the_checkout_with_its_commit_or_else_of_the_package(tmp_path, monkeypatch):
    commit = call(REPOSITORY, "git", "describe", "--always", "--dirty", "--exclude=*").stdout.strip()
    written = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["version"]
    assert reslab("--version") == f"reslab {written} ({commit})\n"
    monkeypatch.setattr(sys.modules["reslab.cli.app"], "__file__", str(tmp_path / "site-packages" / "reslab" / "cli" / "app.py"))
    assert reslab("--version") == f"reslab {version('reslab')}\n"
