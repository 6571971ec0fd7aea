"""Score an experiment's stored networks: `python stages/evaluate.py EXPERIMENT data/runs/EXPERIMENT metrics/...`."""

from pathlib import Path

import torch

from reslab import config, records
from reslab.data import prepared
from reslab.errors import UserError, run
from reslab.experiment import assemble
from reslab.training import checkpoint, hardware
from reslab.training.evaluation import evaluate
from reslab.training.losses import cross_entropy


def score(folder: Path, data: prepared.Prepared, device: torch.device) -> dict:
    """The record of one network with the errors and losses of its stored weights."""
    record = records.read_record(folder / "record.json")
    experiment = config.from_sections("stored", record["config"])
    hardware.prepare(device, precision=experiment.train.precision, fast=False)
    network = assemble(experiment, data, seed=record["seed"], device=device)
    checkpoint.load_weights(folder / "model.safetensors", network.model)
    for split, feed in network.held_out.items():
        result = evaluate(network.model, feed, cross_entropy(), precision=network.rule.precision, average=network.average)
        record |= {f"{split}_loss": result.loss, f"{split}_error": result.error}
    return record


def main(experiment: str, runs: Path, summary: Path, history: Path, data: Path = Path("data/prepared")) -> None:
    """Score every seed of EXPERIMENT under RUNS; write SUMMARY (json) and HISTORY (csv, all seeds)."""
    folders = sorted(runs.glob("seed*"), key=lambda folder: int(folder.name.removeprefix("seed")))
    if not folders:
        raise UserError(f"{runs}: no trained networks; run `dvc repro train@{experiment}`")
    device, loaded = hardware.choose_device(), prepared.load(data)
    scored = [score(folder, loaded, device) for folder in folders]
    epochs = [
        {"seed": record["seed"]} | row
        for folder, record in zip(folders, scored, strict=True)
        for row in records.read_history(folder / "history.csv")
    ]
    for output in (summary, history):
        output.parent.mkdir(parents=True, exist_ok=True)
    records.write_record(summary, {"experiment": experiment, "runs": scored})
    records.write_history(history, epochs)


if __name__ == "__main__":
    run(main)
