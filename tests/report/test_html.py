"""The page of a study: what it says, what it links to, and that nothing in it can break it."""

import math
import re

import numpy as np
import pandas as pd
import pytest
from browser import read
from test_summary import PARAMS, record

from reslab import config
from reslab.config.report import Published
from reslab.report.axes import COSTS, Axis, Series, axes, series, study_settings
from reslab.report.html import figures, page
from reslab.report.predictions import digest
from reslab.report.predictions.scores import confusion, reliability
from reslab.report.statistics.comparison import comparisons
from reslab.report.statistics.summary import runs_table, summarize
from reslab.runs.records import write_record

TRAIN = {"train": {"epochs": 2, "batch_size": 8}, "optimizer": {"name": "sgd", "lr": 0.1}}


def findings(folder, errors: dict[str, list], **changes) -> page.Findings:
    """A study of experiments with these errors (None: diverged) and with histories of two epochs."""
    seeds = len(next(iter(errors.values())))
    document = PARAMS | {"seeds": list(range(seeds)), "report": {"title": "A test"}} | changes
    study = config.parse(document)
    for name, experiment in study.experiments.items():
        runs = [record(seed, error, experiment.model["depth"]) for seed, error in enumerate(errors[name])]
        for run in runs:
            run |= {"config": experiment.sections, "steps": 10, "multiply_adds": 1e6 * experiment.model["depth"], "test_loss": 0.5}
            run |= {"test_images": 200, "test_top5_error": 0.0, "test_ece": 0.01}
        write_record(folder / f"{name}.json", {"experiment": name, "runs": runs})
    runs = runs_table(study, folder)
    pairs = study.report.compare
    return page.Findings(
        study=study,
        runs=runs,
        summary=summarize(study, runs),
        histories={name: history(errors[name]) for name in study.experiments},
        comparisons=comparisons(runs, pairs) if pairs else None,
    )


def history(errors: list) -> pd.DataFrame:
    rows = [
        {
            "seed": seed,
            "epoch": epoch,
            "train_loss": math.nan if error is None else 1 / epoch,
            "test_error": 1.0 if error is None else error,
        }
        for seed, error in enumerate(errors)
        for epoch in ((1,) if error is None else (1, 2))
    ]
    return pd.DataFrame(rows)


ERRORS = {"good": [0.01, 0.02, 0.06], "mixed": [0.03, 0.05, None], "bad": [None, None, None]}


def test_the_page_is_well_formed_and_the_same_each_time(tmp_path):
    found = findings(tmp_path, ERRORS)
    text = page.render(found)
    assert text == page.render(found)
    reader = read(text)
    assert len(reader.ids) == len(set(reader.ids))
    assert {link[1:] for link in reader.links if link.startswith("#")} <= set(reader.ids)
    written = re.sub(r"/\*! https://github.com/leeoniya/uPlot \(v[\d.]+\) \*/", "", text)  # the library's name and licence
    assert "http" not in re.sub(r'(xmlns|xmlns:xlink)="[^"]*"', "", written)  # nothing is fetched, whatever it is


def test_numbers_are_those_of_the_tables_and_lead_to_their_record(tmp_path):
    text = page.render(findings(tmp_path, ERRORS))
    rows = {row[0]: row for row in reversed(read(text).rows)}  # of each name its first row
    assert rows["good"][:7] == ["good", "3.00 ± 2.65", "20", "1", "268,383", "3", "0"]
    assert rows["good"][7:9] == ["2.00", "[0.32, 22.84]"]
    assert rows["bad"][1] == "diverged (3 of 3)"
    assert '<a href="#record-good">3.00 ± 2.65</a>' in text
    assert '<a href="#record-mixed-s1">5.00</a>' in text
    assert '<a href="runs/good.json">' in text
    assert 'id="record-mixed-s1"' in text


def test_published_numbers_stand_beside_ours(tmp_path):
    published = {"good": {"error": 8.75, "std": 0.16, "runs": 5, "source": "He 2015"}}
    found = findings(tmp_path, ERRORS, report={"title": "A test", "published": published})
    rows = read(page.render(found)).rows
    head = next(row for row in rows if "verdict" in row)
    good = dict(zip(head, next(row for row in rows if row[0] == "good"), strict=True))
    assert good["published %"] == "8.75 ± 0.16 (5 runs)"
    assert good["ours − published, points"].startswith("-5.75 [")
    assert (good["verdict"], good["source"]) == ("undecided at n = 3: 1000 seeds would not settle it", "He 2015")
    assert ">published<" in page.render(found)  # the legend of the figures
    # a phone shows the first
    assert head[:6] == ["experiment", "ours %", "published %", "ours − published, points", "verdict", "depth"]
    assert head[-2:] == ["source", "s per run"]
    assert set(head) > {"tau", "parameters", "n", "diverged", "median", "95 % interval"}
    assert len(set(head)) == len(head)
    assert {"tables/results.csv", "tables/published.csv"} <= set(read(page.render(found)).links)
    bare = page.render(findings(tmp_path, ERRORS, report={"compare": {"pairs": []}}))
    assert "verdict" not in bare
    assert "published.csv" not in bare
    assert "published" not in bare


@pytest.mark.parametrize("errors", [{"good": [0.01], "mixed": [0.02], "bad": [0.03]}, {name: [None, None] for name in ERRORS}])
def test_one_seed_and_nothing_but_divergence_are_pages_too(tmp_path, errors):
    found = findings(tmp_path, errors, report={"compare": {"baseline": "good"}})
    reader = read(page.render(found))
    assert any(row[0] == "bad" for row in reader.rows)
    assert "nan" not in page.render(found).lower().replace("finance", "")


def test_what_is_inside_the_networks_is_told_of_studies_that_ask_for_it(tmp_path):
    links, command = (
        {"layers/growth.md", "layers/growth.svg", "layers/threshold.svg"},
        "<code>dvc repro</code> also measures the layers",
    )
    asked = page.render(findings(tmp_path, ERRORS, report={"layers": {"depths": [32]}}))
    assert "<h2>Inside the networks</h2>" in asked
    assert 'href="#section-layers"' in asked
    assert command in asked
    assert links < set(read(asked).links)
    few = page.render(findings(tmp_path, ERRORS, report={"layers": {"images": 8}}))  # of one depth there is no growth against it
    assert links & set(read(few).links) == links - {"layers/growth.svg"}
    bare = page.render(findings(tmp_path, ERRORS))
    assert "section-layers" not in bare
    assert command not in bare
    assert not links & set(read(bare).links)


def test_run_it_again_says_whose_commit_and_whose_comparisons(tmp_path):
    found = findings(tmp_path, ERRORS)
    one, which = "That commit trained the networks.", "What this page compares and says of them is <code>report</code> in the"
    text = page.render(found)
    assert text.index("git checkout 0123456789abcdef") < text.index(one) < text.index(which)
    found.runs["commit"] = [f"{row:040x}" for row in range(len(found.runs))]
    many = page.render(found)
    assert "git checkout" not in many
    assert one not in many
    assert which in many


def test_the_figure_of_cost_says_who_is_left_out(tmp_path):
    found = findings(tmp_path, ERRORS)
    found.runs["seconds"] = found.runs["experiment"].map({"good": 2.0, "mixed": 3.0, "bad": 1.0})
    captions = [caption for caption, _ in page.figures_of(found)["errors"]]
    said = [caption for caption in captions if caption.endswith("Experiments all of whose seeds diverged are left out.")]
    assert said == [caption for caption in captions if "against multiply-adds" in caption or "against seconds" in caption]
    assert said


def test_what_people_write_is_text_and_never_markup(tmp_path):
    nasty = '<script>alert("1")</script> & `code` $x$'
    report = {"title": nasty, "question": nasty, "origin": nasty, "notes": [nasty], "differences": [nasty]}
    report["published"] = {"good": {"error": 5.0, "source": nasty}}
    logits = np.eye(2)[[0, 1, 1, 0]] * 3.0
    labels = np.array([0, 1, 0, 1])
    names = [nasty, "b"]
    answers = digest.Digest(np.array([False, False, True, True]), confusion(logits, labels, names), reliability(logits, labels))
    digests = {("good", 0): answers}
    found = findings(tmp_path, ERRORS, report=report)
    more = {"classes": digest.by_class(digests), "confusions": digest.confusions(digests)}
    text = page.render(page.Findings(**vars(found) | more | {"reliability": digest.pooled_reliability(digests)}))
    reader = read(text)
    assert reader.scripts == 3  # sorting; the numbers of every seed, and what draws them
    assert text.count("&lt;script&gt;") >= 8
    assert "<code>code</code>" in text
    assert any(nasty in cell for row in reader.rows for cell in row)


def test_the_axes_are_what_the_study_varies(tmp_path):
    experiments = {"a": {}, "b": {"model": {"depth": 110}}, "c": {"model": {"depth": 110}, "train": {"batch_size": 64}}}
    found = findings(tmp_path, {"a": [0.1, 0.2], "b": [0.2, 0.1], "c": [None, 0.2]}, experiments=experiments)
    found_axes = {axis.name: axis for axis in axes(found.study, found.summary, found.runs)}
    cost = COSTS["cost"]
    assert list(found_axes) == ["depth", "batch size", cost]
    assert found_axes["depth"].values == {"a": 20, "b": 110, "c": 110}
    assert found_axes[cost].values == {"a": 20e6 * 10 * 8, "b": 110e6 * 10 * 8, "c": 110e6 * 10 * 64}
    every = study_settings(found.study)
    assert series(found_axes["depth"], every) == [Series("batch size 8", 0, [["a", "b"]]), Series("batch size 64", 1, [["c"]])]
    assert series(found_axes[cost], every) == [Series(name, place, [[name]]) for place, name in enumerate("abc")]


def test_published_minutes_are_the_place_of_a_published_error_on_the_axis_of_seconds():
    seconds, depth = Axis(COSTS["seconds"], "", {}), Axis("depth", "model.depth", {})
    timed, untimed = Published(error=5, source="x", minutes=2), Published(error=5, source="x")
    assert figures.published_at(seconds, 7.0, timed) == 120
    assert figures.published_at(seconds, 7.0, untimed) is None
    assert figures.published_at(depth, 20, timed) == 20


def keys(text: str, table: str) -> dict[tuple[str, str], str]:
    """(text of the first cell, heading) -> the key a cell sorts by, of the cells of a table that have one."""
    found = text[text.index(f'<table id="{table}"') :].partition("</table>")[0]
    headings = re.findall(r"<th scope=\"col\"[^>]*>([^<]*)</th>", found)
    rows = [re.findall(r"<t[hd]([^>]*)>(.*?)</t[hd]>", row) for row in re.findall(r"<tr[^>]*>(.*?)</tr>", found, re.DOTALL)[1:]]
    return {
        (re.sub("<[^>]*>", "", row[0][1]), heading): key[1]
        for row in rows
        for heading, (attributes, _) in zip(headings, row, strict=True)
        if (key := re.search('data-value="([^"]*)"', attributes))
    }


def test_a_table_sorts_by_what_was_measured_and_not_by_its_text(tmp_path):
    """Both means are 3.00 in the table, and the one above the other is the larger by a thousandth."""
    errors = {"good": [0.03001, 0.03001, 0.03003], "mixed": [0.03, 0.03, 0.03], "bad": [None, None, None]}
    text = page.render(findings(tmp_path, errors))
    found = keys(text, "results")
    means = [float(found[name, "test error % (mean ± std)"]) for name in ("good", "mixed")]
    assert means == pytest.approx([0.0300167, 0.03], abs=1e-7)
    assert float(found["good", "parameters"]) == 268_383
    assert ("bad", "test error % (mean ± std)") not in found
    assert not any(heading == "experiment" for _, heading in found)


def test_text_that_looks_like_a_number_is_no_number(tmp_path):
    """A version, a commit and an identity of digits alone are words."""
    found = findings(tmp_path, ERRORS)
    found.runs["identity"], found.runs["commit"], found.runs["torch"] = "123456789012", "1234567890abcdef", "2.12"
    text = page.render(found)
    assert re.search(r"<td>\s*123456789012", text)
    assert re.search(r"<td>\s*1234567890\s*<", text)
    assert re.search(r"<td>\s*2\.12", text)
    assert re.search(r'<td class="number">\s*268,383', text)


def test_what_no_number_of_seeds_would_settle_sorts_as_infinity(tmp_path):
    found = findings(tmp_path, {"good": [0.01, 0.02, 0.03], "mixed": [0.1, 0.3, 0.6], "bad": [0.02, 0.04, 0.03]})
    found_keys = keys(page.render(found), "comparisons")
    assert found_keys["mixed", "seeds to settle it"] == "Infinity"
    assert 2 <= float(found_keys["bad", "seeds to settle it"]) <= 1000
