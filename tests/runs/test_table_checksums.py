"""What aggregate wrote into tables, plots and page is what is read, and of the records that it was made from."""

import os
import shutil

import pytest

from reslab.errors import UserError
from reslab.runs import records, table_checksums

OTHERS = {"summary.json": "{}", "report.html": "<p>25 %", "plots/curves.svg": "<svg/>", "curves/curves.csv": "epoch\n1\n"}
TABLE = "experiment,n,mean\nplain,2,0.25\n"


@pytest.fixture
def tables(tmp_path):
    folder = tmp_path / "tables"
    files = {"tables/results.csv": TABLE, "tables/results.md": "| plain |", "runs/plain.json": "{}", **OTHERS}
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    table_checksums.write(folder, "plots", "curves", "summary.json", "report.html")
    table_checksums.check(folder)
    return folder


def replaced(name, text):
    return lambda folder: (folder / name).write_text(text)


def pipe(folder):
    (folder / "results.csv").unlink()
    os.mkfifo(folder / "results.csv")


def folder_for(name):
    def change(folder):
        (folder / name).unlink()
        (folder / name).mkdir()

    return change


def edited_list(folder):
    listed = folder / table_checksums.NAME
    listed.write_text(listed.read_text().replace("results.md", "results.tex"))


CHANGES = {
    "a digit": replaced("results.csv", TABLE.replace("0.25", "0.26")),
    "no more than a new last line": replaced("results.csv", TABLE + "\n"),
    "a byte order mark": replaced("results.csv", "\ufeff" + TABLE),
    "empty": replaced("results.csv", ""),
    "lost": lambda folder: (folder / "results.md").unlink(),
    "a pipe": pipe,
    "one more": replaced("published.csv", "experiment,verdict\nplain,better\n"),
    "another record": replaced("../runs/plain.json", '{"runs": []}'),
    "another summary": replaced("../summary.json", '{"plain": {}}'),
    "another page": replaced("../report.html", "<p>24 %"),
    "a folder for a page": folder_for("../report.html"),
    "another plot": replaced("../plots/curves.svg", "<svg>"),
    "a terabyte": lambda folder: os.truncate(folder / "../report.html", 2**40),
    "a folder for a plot": folder_for("../plots/curves.svg"),
    "one more plot": replaced("../plots/errors.svg", "<svg/>"),
    "another curve": replaced("../curves/curves.csv", "epoch\n2\n"),
    "a lost curve": lambda folder: (folder / "../curves/curves.csv").unlink(),
    "one more curve": replaced("../curves/confusion.csv", "true,predicted\n0,0\n"),
    "a list of others": replaced(table_checksums.NAME, "[]"),
    "an edited list": edited_list,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_change_to_a_table_or_its_record_is_refused(tables, change):
    change(tables)
    with pytest.raises(UserError, match=r"run `dvc repro -f aggregate`$"):
        table_checksums.check(tables)


@pytest.mark.parametrize("change", [replaced("results.csv", ""), lambda folder: (folder / "results.csv").unlink()])
def test_only_the_tables_that_stay_are_checked_where_others_are_made_again(tables, change):
    change(tables)
    table_checksums.check_those(tables, ["tables/results.md", "tables/never-made.csv", "layers/growth.csv"], mend="x")
    with pytest.raises(UserError, match=r"results\.csv: (changed|lost) since it was made; x$"):
        table_checksums.check_those(tables, ["tables/results.csv"], mend="x")
    (tables / "more.csv").write_text("")
    with pytest.raises(UserError, match=r"more\.csv: changed"):
        table_checksums.check_those(tables, ["tables/more.csv"], mend="x")


def test_kept_results_have_no_curves_of_dvc(tables):
    shutil.rmtree(tables.parent / table_checksums.CURVES)
    table_checksums.check(tables)


def test_a_dropped_experiment_and_tables_of_an_older_version_are_read(tables, capsys):
    (tables.parent / "runs" / "plain.json").unlink()
    table_checksums.check(tables)
    (tables / table_checksums.NAME).unlink()
    table_checksums.check(tables)
    assert "from before files carried checksums" in capsys.readouterr().err
    shutil.rmtree(tables)
    table_checksums.check(tables)


def test_lost_checksums_are_no_older_version(tables, tmp_path):
    """Without them any table could be swapped."""
    records.write_record(tmp_path / "runs" / "plain.json", {"experiment": "plain", "runs": []})
    (tables / table_checksums.NAME).unlink()
    again = r"checksums\.json: lost since the tables were made; run `dvc repro -f aggregate`$"
    with pytest.raises(UserError, match=again):
        table_checksums.check(tables)
    with pytest.raises(UserError, match=r"lost since the tables were made; take it from git$"):
        table_checksums.check_those(tables, ["tables/results.csv"], mend="take it from git")


def test_the_layer_study_is_as_it_was_made_or_was_not_made(tables):
    layers = tables.parent / "layers"
    layers.mkdir()
    (layers / "not_measured.txt").write_text("how")
    table_checksums.check_layers(layers)
    (layers / table_checksums.GROWTH).write_text(TABLE)
    table_checksums.write(layers)
    table_checksums.check_layers(layers)
    (layers / table_checksums.GROWTH).unlink()
    with pytest.raises(UserError, match=r"growth\.csv: lost since it was made; run `dvc repro -f layers/dvc\.yaml`$"):
        table_checksums.check_layers(layers)
