"""Statistics against scipy and by hand; diverged seeds are counted, not averaged."""

import math

import pandas as pd
import pytest

from reslab import config
from reslab.errors import UserError
from reslab.report.statistics.samples import wilson_interval
from reslab.report.statistics.summary import epoch_means, headline, network_scores, runs_table, summarize
from reslab.report.tables.results import networks_markdown, results_markdown, times_markdown
from reslab.runs.records import read_record, write_record

PARAMS = {
    "study": "test",
    "seeds": [0, 1, 2],
    "dataset": {"name": "digits"},
    "normalize": {"name": "computed"},
    "model": {"name": "tau_resnet", "depth": 20, "norm": "none", "tau": 1.0},
    "augment": [],
    "loss": {"name": "cross_entropy"},
    "optimizer": {"name": "sgd", "lr": 0.1},
    "schedule": {"name": "constant"},
    "train": {"epochs": 1, "batch_size": 8},
    "experiments": {"good": {}, "mixed": {}, "bad": {"model": {"depth": 110}}},
    "report": {"title": "A test", "published": {"good": {"error": 8.75, "std": 0.16, "runs": 5, "source": "He 2015"}}},
}
ERRORS = {"good": [0.01, 0.02, 0.06], "mixed": [0.03, 0.05, None], "bad": [None, None, None]}


@pytest.fixture
def study():
    return config.parse(PARAMS)


def record(seed: int, error: float | None, depth: int) -> dict:
    return {
        "seed": seed,
        "status": "diverged" if error is None else "finished",
        "test_error": 1.0 if error is None else error,
        "config": {"model": {"name": "tau_resnet", "depth": depth, "norm": "none"}},
        "tau": 1.0,
        "parameters": 268_383,
        "seconds": 2.0,
        "images_per_second": 100.0,
        "device": "A CPU",
        "threads": 1,
        "torch": "2.15.0",
        "commit": "0123456789abcdef",
        "dirty": False,
    }


@pytest.fixture
def folder(tmp_path):
    for name, errors in ERRORS.items():
        runs = [record(seed, error, 110 if name == "bad" else 20) for seed, error in enumerate(errors)]
        write_record(tmp_path / f"{name}.json", {"experiment": name, "runs": runs})
    return tmp_path


def test_diverged_seeds_are_counted_and_left_out(study, folder):
    summary = summarize(study, runs_table(study, folder)).set_index("experiment")
    assert summary["n"].tolist() == [3, 2, 0]
    assert summary["diverged"].tolist() == [0, 1, 3]
    assert summary["mean"]["mixed"] == pytest.approx(0.04)
    assert math.isnan(summary["mean"]["bad"])
    assert summary["published"]["good"] == pytest.approx(0.0875)


def test_headline_is_small_rounded_and_in_percent(study, folder):
    assert headline(summarize(study, runs_table(study, folder))) == {
        "good": {"error_percent": 3.0, "std_percent": 2.65, "diverged_seeds": 0},
        "mixed": {"error_percent": 4.0, "std_percent": 1.41, "diverged_seeds": 1},
        "bad": {"diverged_seeds": 3},
    }


def test_a_seed_without_a_record_is_said(study, folder):
    content = read_record(folder / "good.json")
    content["runs"].pop()
    write_record(folder / "good.json", content)
    with pytest.raises(UserError, match=r"good\.json: no record of seed 2; run `dvc repro`"):
        runs_table(study, folder)
    (folder / "good.json").unlink()
    with pytest.raises(UserError, match=r"good\.json: no such file"):
        runs_table(study, folder)


def test_table(study, folder):
    runs = runs_table(study, folder)
    lines = results_markdown(summarize(study, runs), study.report.title).splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.startswith("| ")]
    cells = {name: values for name, *values in rows}
    assert lines[0] == "**A test**"
    assert cells["good"][3:] == ["0", "3.00 ± 2.65", "2.00", "[0.32, 22.84]", "8.75 ± 0.16"]
    assert cells["mixed"][2:5] == ["2", "1", "4.00 ± 1.41"]
    assert cells["bad"][4] == "diverged (3 of 3)"


def test_what_another_machine_changes_is_in_a_table_of_its_own(study, folder):
    runs = runs_table(study, folder).assign(numerics="portable")
    there = runs.assign(device="Another CPU", seconds=3.0, images_per_second=50.0, commit="fedcba9876")
    here, elsewhere = summarize(study, runs), summarize(study, there)
    assert results_markdown(here, "") == results_markdown(elsewhere, "")
    assert "Measured on A CPU, 1 thread(s) per run, portable numerics, torch 2.15.0, commit" in times_markdown(here, runs)
    assert times_markdown(here, runs) != times_markdown(elsewhere, there)


def test_no_published_column_without_published_numbers(study, folder):
    runs = runs_table(study, folder)
    summary = summarize(study, runs).assign(published=math.nan)
    assert "published" not in results_markdown(summary, "")


def test_epoch_means_are_over_the_seeds_that_did_not_diverge():
    history = pd.DataFrame({"seed": [0, 0, 1, 1, 2], "epoch": [1, 2, 1, 2, 1], "train_loss": [1.0, 0.5, 3.0, 0.7, math.nan]})
    history["test_error"] = [0.5, 0.1, 0.7, 0.3, 1.0]
    means = epoch_means(history)
    assert means["train_loss"].tolist() == [2.0, 0.6]
    assert means["test_error"].tolist() == [pytest.approx(0.6), pytest.approx(0.2)]
    assert epoch_means(history[history["seed"] == 2])["test_error"].tolist() == [1.0]


def test_a_validation_split_is_in_the_table_and_the_headline(study, folder):
    for path in folder.glob("*.json"):
        content = read_record(path)
        for run in content["runs"]:
            run["validation_error"] = 0.25
        write_record(path, content)
    runs = runs_table(study, folder)
    summary = summarize(study, runs)
    assert headline(summary)["good"]["validation_percent"] == 25.0
    assert "validation error %" in results_markdown(summary, "")
    validation = network_scores(runs)["validation_error"]
    assert validation.isna().equals(runs["status"] == "diverged")
    assert validation.dropna().eq(0.25).all()


def test_top5_and_calibration_are_means_over_the_seeds_that_finished(study, folder):
    for path in folder.glob("*.json"):
        content = read_record(path)
        for run in content["runs"]:
            diverged = run["status"] == "diverged"
            scores = {"test_top5_error": 1.0 if diverged else run["seed"] / 100, "test_ece": None if diverged else 0.02}
            run |= {"test_images": 200, "test_loss": None if diverged else 0.5} | scores
        write_record(path, content)
    runs = runs_table(study, folder)
    summary = summarize(study, runs).set_index("experiment")
    assert summary["test_top5_error"].tolist() == pytest.approx([0.01, 0.005, math.nan], nan_ok=True)
    assert summary["test_ece"].tolist() == pytest.approx([0.02, 0.02, math.nan], nan_ok=True)
    page = results_markdown(summary.reset_index(), "")
    assert "top-5 error %" in page and "calibration error %" in page
    networks = network_scores(runs)
    low, high = wilson_interval(2, 200)
    assert (networks["images_low"][0], networks["images_high"][0]) == (low, high)
    lines = networks_markdown(networks).splitlines()
    assert [cell.strip() for cell in lines[2].split("|")[1:-1]] == [
        *["good", "0", "finished", "1.00", f"[{100 * low:.2f}, {100 * high:.2f}]", "0.00", "2.00", "0.5000"]
    ]
    assert [cell.strip() for cell in lines[10].split("|")[3:8]] == ["diverged", "", "", "", ""]
    diverged = networks[networks["status"] == "diverged"]
    assert diverged[["test_error", "test_top5_error", "test_loss", "test_ece", "images_low", "images_high"]].isna().all(axis=None)
    assert diverged[["test_images", "seconds"]].notna().all(axis=None)
    assert runs.loc[diverged.index, "test_error"].eq(1).all()  # the records stay as they are


def test_records_of_before_have_no_interval_over_images(study, folder):
    networks = network_scores(runs_table(study, folder).assign(test_loss=0.5))
    assert networks["images_low"].isna().all()
    assert "[" not in networks_markdown(networks).splitlines()[2]


def test_a_study_without_tau_has_no_column_for_it(study, folder):
    runs = runs_table(study, folder)
    assert "| tau" not in results_markdown(summarize(study, runs).assign(tau=math.nan), "")


def test_runs_of_other_machines_are_marked_and_their_times_not_averaged(study, folder):
    runs = runs_table(study, folder)
    runs.loc[0, "device"], runs.loc[1, "torch"] = "Another CPU", "2.16.0"
    summary = summarize(study, runs).set_index("experiment")
    assert summary["mixed"].tolist() == ["device, torch", "", ""]
    assert math.isnan(summary["seconds"]["good"]) and summary["seconds"]["mixed"] == 2.0
    assert "mixed (device, torch)" in times_markdown(summary.reset_index(), runs)
    assert "| device, torch |" in results_markdown(summary.reset_index(), "")
    runs["numerics"] = [*[None] * 4, "portable", *[None] * 4]
    assert summarize(study, runs).set_index("experiment")["mixed"]["mixed"] == "numerics"


def test_a_network_at_a_guess_is_in_no_mean_and_both_means_are_there(study, folder):
    content = read_record(folder / "good.json")
    for run in content["runs"]:
        run["test_images"] = 360
    content["runs"][1]["test_error"] = 0.9
    write_record(folder / "good.json", content)
    runs = runs_table(study, folder)
    row = summarize(study, runs).set_index("experiment").loc["good"]
    assert (row["n"], row["untrained"], row["diverged"]) == (2, 1, 0)
    assert (row["mean"], row["mean_all"]) == (pytest.approx(0.035), pytest.approx((0.01 + 0.9 + 0.06) / 3))
    page = results_markdown(summarize(study, runs), "")
    assert "did not train" in page and f"32.33 ± {100 * row['std_all']:.2f}" in page
    assert headline(summarize(study, runs))["good"]["untrained_seeds"] == 1
