"""What aggregate wrote into tables is what is read from them, and of the records that it was made from."""

import os
import shutil

import pytest

from reslab.errors import UserError
from reslab.runs import table_checksums

TABLE = "experiment,n,mean\nplain,2,0.25\n"


@pytest.fixture
def tables(tmp_path):
    folder = tmp_path / "tables"
    files = {"tables/results.csv": TABLE, "tables/results.md": "| plain |", "runs/plain.json": "{}", "summary.json": "{}"}
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    table_checksums.write(folder)
    table_checksums.check(folder)
    return folder


def replaced(name, text):
    return lambda folder: (folder / name).write_text(text)


def pipe(folder):
    (folder / "results.csv").unlink()
    os.mkfifo(folder / "results.csv")


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
    table_checksums.check_those(tables, ["results.md", "never-made.csv"], mend="x")
    with pytest.raises(UserError, match=r"results\.csv: (changed|lost) since aggregate made it; x$"):
        table_checksums.check_those(tables, ["results.csv"], mend="x")
    (tables / "more.csv").write_text("")
    with pytest.raises(UserError, match=r"more\.csv: changed"):
        table_checksums.check_those(tables, ["more.csv"], mend="x")


def test_a_dropped_experiment_and_tables_of_an_older_version_are_read(tables, capsys):
    (tables.parent / "runs" / "plain.json").unlink()
    table_checksums.check(tables)
    (tables / table_checksums.NAME).unlink()
    table_checksums.check(tables)
    assert "from before files carried checksums" in capsys.readouterr().err
    shutil.rmtree(tables)
    table_checksums.check(tables)
