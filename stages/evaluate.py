"""Score an experiment's stored networks: `python stages/evaluate.py EXPERIMENT data/runs/EXPERIMENT`.

The networks classify every held-out image once; all that is stored, and every number, comes from these logits.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from reslab.data import prepared
from reslab.errors import UserError, run
from reslab.report.predictions import Predictions, agreement, save
from reslab.report.predictions.mistakes import most_confident, sheet
from reslab.report.predictions.scores import class_errors, confused, confusion, reliability, score
from reslab.runs import checksums, network_files, records
from reslab.runs.folders import remove_output
from reslab.storage import writes
from reslab.training.execution import hardware
from reslab.weights.network import read_network
from reslab.weights.predict import predict_held_out

MISTAKES = "mistakes.png"


def tables(found: Predictions, split: str) -> dict[str, pd.DataFrame]:
    """File name -> table of one network's answers, beyond the numbers of the record."""
    counts = confusion(found.logits, found.labels, found.class_names)
    return {
        f"{split}_confusion.csv": confused(counts),
        f"{split}_classes.csv": class_errors(counts),
        f"{split}_reliability.csv": reliability(found.logits, found.labels),
    }


@writes
def write_predictions(found: dict[str, Predictions], folder: Path) -> dict[str, str]:
    """Write each split's logits and tables into the network's folder; return the checksums of the logits by file name."""
    listed = {}
    for split, answers in found.items():
        listed[f"{split}.safetensors"] = save(folder / f"{split}.safetensors", answers)
        for name, table in tables(answers, split).items():
            table.to_csv(folder / name, index=False, lineterminator="\n", float_format="%.6g")
    return listed


def trained(folder: Path) -> tuple[dict, list[dict]]:
    """The record and the history of a network, verified; raises UserError if they are damaged or another network's."""
    record, rows = network_files.read(folder)
    if folder.name != f"seed{record['seed']}":
        raise UserError(f"{folder}: holds seed {record['seed']}; {checksums.AGAIN}")
    return record, rows


@writes
def draw_mistakes(experiment: str, networks: list[Predictions], data: prepared.Prepared, path: Path) -> None:
    """Draw the most confident mistakes on the test images of the networks that did not diverge."""
    found = most_confident(networks)
    how_many = f"{len(found)} most confident mistakes" if found else "no mistakes"
    title = f"{experiment}: {how_many} on {len(data.test)} test images, mean probability of {len(networks)} seed(s)"
    pictures = data.test.pictures([mistake.image for mistake in found])
    sheet(found, pictures, title, networks=len(networks)).save(path)


def main(experiment: str, runs: Path, summary: Path, history: Path, output: Path, data: Path = Path("data/prepared")) -> None:
    """Score every seed of EXPERIMENT under RUNS; write SUMMARY (json), HISTORY (csv, all seeds) and the predictions into OUTPUT.

    Times and environments, which differ between machines, are beside SUMMARY's folder (runs/network_files.py).
    """
    folders = [folder for folder in runs.glob("seed*") if folder.name.removeprefix("seed").isdecimal()]
    folders.sort(key=lambda folder: int(folder.name.removeprefix("seed")))
    if not folders:
        raise UserError(f"{runs}: no trained networks; run `dvc repro train@{experiment}`")
    device, loaded = hardware.choose_device(), prepared.load(data)
    stored = [read_network(folder, older=False) for folder in folders]
    records_read = [trained(folder) for folder in folders]
    hardware.prepare(device, precision=stored[0].precision.name, fast=False, numeric=stored[0].numerics)
    remove_output(output, "seed*/test*", "seed*/validation*", MISTAKES)
    scored, finished, epochs = [], [], []
    for folder, (record, rows), found in zip(folders, records_read, predict_held_out(stored, loaded, device), strict=True):
        agreement.check(experiment, record, found)
        record["checksums"] |= write_predictions(found, output / folder.name)
        for split, answers in found.items():
            record |= score(answers.logits, answers.labels).named(split)
        record["test_commonest"] = float(np.bincount(found["test"].labels).max() / len(found["test"].labels))
        scored.append(record)
        finished += [found["test"]] if record["status"] != "diverged" else []
        epochs += [{"seed": record["seed"]} | row for row in rows]
    if finished:
        draw_mistakes(experiment, finished, loaded, output / MISTAKES)
    history.parent.mkdir(parents=True, exist_ok=True)
    listed = {history.name: records.write_history(history, epochs)}
    network_files.write_experiment(summary, experiment, scored, checksums=listed)


if __name__ == "__main__":
    run(main)
