"""Commands run in the wrong folder, given the wrong path, or printed where there is little room."""

from pathlib import Path

import pytest
from commands import reslab
from project import SMALL_PARAMS

from reslab import config
from reslab.cli.text import flow, print_rows
from reslab.config import library
from reslab.errors import UserError


@pytest.fixture
def folder(tmp_path, repository, monkeypatch):
    """The studies and the machines, a small params.yaml, and a folder `metrics`."""
    for name in ("studies", "machines"):
        (tmp_path / name).symlink_to(repository / name)
    (tmp_path / "params.yaml").write_text(SMALL_PARAMS)
    (tmp_path / "metrics").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "arguments",
    [
        ("studies",),
        ("studies", "hysts"),
        ("show", "digits-tau"),
        ("select", "digits-tau"),
        ("estimate", "digits-tau"),
        ("calibrate", "--published", "GeForce GTX 980"),
    ],
)
def test_elsewhere_the_commands_say_where_to_run(arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"^studies/: no such folder here, or no study in it; run from the root of the repository$"):
        reslab(*arguments)


@pytest.mark.parametrize(
    ("compare", "left"),
    [
        ({"baseline": "b"}, [("c", "b")]),
        ({"baseline": "a"}, []),
        ({"pairs": [["a", "b"], ["c", "b"]]}, [("c", "b")]),
        ({"pairs": [["a", "b"]]}, []),
        ({"pairs": []}, []),
        (None, [("c", "b")]),  # nothing was written: each with the first one, here as there
    ],
)
def test_what_a_part_compares(compare, left):
    rows = {"a": {}, "b": {"model": {"depth": 14}}, "c": {"model": {"depth": 20}}}
    document = config.parse_yaml(SMALL_PARAMS) | {"experiments": rows, "report": {"compare": compare}}
    assert config.parse(library.subset(document, rows=["b", "c"])).report.compare == left


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("schedule", "own-tau", "--images", "100", "--output", "nodir/s.png"), "nodir/s.png: there is no folder nodir; make it"),
        (("select", "digits-tau", "--params", "nodir/x.yaml"), "nodir/x.yaml: there is no folder nodir; make it first"),
        (("select", "digits-tau", "--params", "metrics"), "metrics: is a folder; give a file"),
        (("check", "--params", "metrics"), "metrics: not a file"),
        (("check", "--params", "params.yaml/x"), "params.yaml/x: not a file"),
        (("report", "--path", "metrics"), "metrics: is a folder; give the page, such as metrics/report.html"),
    ],
)
def test_paths_that_cannot_be_are_named(arguments, message, folder):
    with pytest.raises(UserError) as raised:
        reslab(*arguments)
    assert str(raised.value).startswith(message)


@pytest.mark.parametrize(("seeds", "said"), [("[0]", "1 seed at once"), ("[0, 1]", "2 seeds at once")])
def test_no_more_seeds_at_once_than_there_are(seeds, said, folder):
    Path("params.yaml").write_text(SMALL_PARAMS.replace("seeds:\n- 0\n- 1", f"seeds: {seeds}"))
    assert said in reslab("estimate", "--machine", "intel-xeon-1-thread", "--at-once", "2")


def test_the_documentation_s_example_of_a_time_works(folder, repository):
    page = (repository / "docs" / "studies.md").read_text()
    line = next(line for line in page.splitlines() if "--within" in line and "select" in line)
    arguments = line.partition("#")[0].split()[1:]
    reslab(*arguments, "--machine", "intel-xeon-1-thread", "--at-once", "1", "--force")
    assert 0 < len(config.load(Path("params.yaml")).experiments) < 24


ROWS = [
    {"experiment": "shake-shake26-2x96d-cutout14", "changes": flow({"augment": [{"name": "normalize"}, {"name": "flip"}] * 3})}
    | {"published %": "0.24 ± 0.02 (n=3) [1]", "parameters": "26,330,026", "one seed": "11 days"},
    {"experiment": "preact20-cutout6", "changes": ""} | {"published %": "0.32 (n=3)", "parameters": "271,994", "one seed": "4.1 h"},
]


@pytest.mark.parametrize("columns", ["80", "160"])
def test_names_stay_whole_and_changes_are_said(columns, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", columns)
    print_rows(ROWS, csv=False, wide="changes")
    text = capsys.readouterr().out
    lines = text.splitlines()
    assert max(map(len, lines)) <= int(columns)
    assert [line.split()[0] for line in lines[2:] if line[0] != " "] == [row["experiment"] for row in ROWS]
    assert "[1]" in text
    assert (lines[0].split()[:2] == ["experiment,", "changes"]) == (columns == "80")
    if columns == "80":
        below = " ".join(line.strip() for line in lines if line.startswith("    "))
        assert (
            below
            == "{augment: [{name: normalize}, {name: flip}, {name: normalize}, {name: flip}, {name: normalize}, {name: flip}]}"
        )
