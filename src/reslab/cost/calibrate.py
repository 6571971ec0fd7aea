"""Measuring a machine: real training steps of a few networks, and the seconds per unit of work that explain them."""

import json
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.optimize import nnls

from reslab import config
from reslab.config.study import Experiment, Study
from reslab.cost.estimate import run_work, step_work
from reslab.cost.machines import UNITS, FitError, Machine
from reslab.data.prepared import Prepared
from reslab.data.prepared.splits import Arrays
from reslab.data.sizes import size_facts
from reslab.experiment.assemble import assemble
from reslab.experiment.bound import bound
from reslab.models.parts.init import INITIALISATION
from reslab.training.execution.levels import RunSize, choose_level

CLASSES = 10
NOT_WORTH_COMPILING = RunSize(0, 1, 0, 0)  # on a CPU; on a GPU steps are recorded and compiled as in any run
WARM_UP = 2  # steps
BATCHES = {"cpu": (4, 16), "cuda": (128, 512)}

# Thin and wide, shallow and deep, few and many operations: what the published tables are made of.
NETWORKS: dict[str, tuple[dict[str, Any], list[int]]] = {
    "resnet20": ({"name": "resnet", "depth": 20}, [3, 32, 32]),
    "resnet56": ({"name": "resnet", "depth": 56}, [3, 32, 32]),
    "resnet110-nobn-8x8": ({"name": "tau_resnet", "depth": 110, "norm": "none", "tau": "1/sqrt(L)"}, [1, 8, 8]),
    "resnet20-28x28": ({"name": "preact_resnet", "depth": 20}, [1, 28, 28]),
    "preact20-wide4": ({"name": "preact_resnet", "depth": 20, "width": 64}, [3, 32, 32]),
    "preact164-bottleneck": ({"name": "preact_resnet", "depth": 164, "block": "bottleneck"}, [3, 32, 32]),
    "wrn16-4": ({"name": "wrn", "depth": 16, "widening_factor": 4}, [3, 32, 32]),
    "densenet-bc40-k12": ({"name": "densenet", "depth": 40, "growth_rate": 12, "block": "bottleneck"}, [3, 32, 32]),
    "pyramidnet56-a84": ({"name": "pyramidnet", "depth": 56, "alpha": 84}, [3, 32, 32]),
    "resnext29-4x16d": ({"name": "resnext", "depth": 29, "cardinality": 4, "base_width": 16}, [3, 32, 32]),
    "shake-shake26-2x32d": ({"name": "shake_shake", "depth": 26, "width": 32}, [3, 32, 32]),
    "vgg15": ({"name": "vgg"}, [3, 32, 32]),
}

Row = dict[str, Any]  # network, batch_size or experiment, seconds, and the work under "work"


def time_networks(
    device: torch.device,
    *,
    batch_sizes: Sequence[int],
    steps: int,
    rounds: int,
    networks: Sequence[str] = tuple(NETWORKS),
    report: Callable[[str], None] = print,
) -> list[Row]:
    """Time training steps of each network at each batch size, in several rounds over all of them.

    A round's time is the median of its steps; `seconds` is that of the quickest round, since whatever else the machine does only
    slows it, and `spread` is the fraction by which the slowest was slower.
    """
    settings = [(name, batch_size) for name in networks for batch_size in batch_sizes]
    times: dict[tuple[str, int], list[float]] = {setting: [] for setting in settings}
    for number in range(rounds):
        for name, batch_size in settings:
            experiment, data = setting_of(name, batch_size, images=batch_size * (WARM_UP + steps))
            median = statistics.median(timed_steps(experiment, data, device)[WARM_UP:])
            times[name, batch_size].append(median)
            report(f"round {number + 1} of {rounds}: {name}, {batch_size} images a step: {1000 * median:.1f} ms")
    return [row_of(setting, times[setting]) for setting in settings]


def row_of(setting: tuple[str, int], times: Sequence[float]) -> Row:
    """The result of all rounds of one network and batch size."""
    name, batch_size = setting
    experiment, data = setting_of(name, batch_size, images=batch_size)
    measured = {"seconds": min(times), "spread": max(times) / min(times) - 1}
    return {"network": name, "batch_size": batch_size, **measured, "work": step_work(experiment, data.facts)}


def setting_of(name: str, batch_size: int, *, images: int) -> tuple[Experiment, Prepared]:
    """A network of the table with a number of random images."""
    model, image_shape = NETWORKS[name]
    return recipe(model, batch_size), synthetic(image_shape, images=images)


def timed_steps(experiment: Experiment, data: Prepared, device: torch.device) -> list[float]:
    """Seconds of each training step of an epoch, as in any run: the batch, its augmentation, the update.

    With one CPU thread they are the process's own, so that a busy neighbour is not measured too.
    """
    clock = time.process_time if device.type == "cpu" and torch.get_num_threads() == 1 else time.perf_counter
    run = assemble(bound(experiment), data, seed=0, device=device)
    step = run.step()
    launch, _ = choose_level(step, NOT_WORTH_COMPILING)
    step.rule.batch_norm.begin_epoch(step.model)
    sizes, times, began = step.batches.begin(1), [], clock()
    for size in sizes:
        step.batches.load(size)
        launch(size)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(clock() - began)
        began = clock()
    return times


def recipe(model: dict, batch_size: int) -> Experiment:
    """The commonest recipe of the studies around a network."""
    return config.from_sections(
        "calibration",
        {
            "normalize": {"name": "computed"},
            "model": model,
            "augment": [{"name": "pad_crop", "padding": 4}, {"name": "flip"}],
            "loss": {"name": "cross_entropy"},
            "optimizer": {"name": "sgd", "lr": 0.01, "momentum": 0.9, "weight_decay": 1e-4},
            "schedule": {"name": "constant"},
            "train": {"epochs": 1, "batch_size": batch_size},
        },
    )


def synthetic(image_shape: Sequence[int], *, images: int) -> Prepared:
    """Random images (N, C, H, W) with random labels: the time of a step does not depend on what they show."""
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (images, *image_shape), dtype=np.uint8)
    split = Arrays(pixels, generator.integers(0, CLASSES, images))
    facts = {
        "name": "synthetic",
        "image_shape": list(image_shape),
        "class_names": [str(number) for number in range(CLASSES)],
        "mean": [0.5] * image_shape[0],
        "std": [0.25] * image_shape[0],
    }
    return Prepared(split, None, split, facts | {"train": images, "validation": 0, "test": images})


def distinct_rows(studies: Iterable[Study], device: str) -> list[Row]:
    """The published training times of all studies; a run that stands in several tables counts once."""
    found = {row["run"]: row for study in studies for row in published_rows(study, device)}
    return [{key: value for key, value in row.items() if key != "run"} for row in found.values()]


def published_rows(study: Study, device: str) -> Iterator[Row]:
    """The training times of a study that were published for a device, beside the work of the same run.

    Times of another recipe than the study's (`no_verdict`, such as 5 epochs instead of 100) are left out.
    `run` is the same for the same published run: one network by one recipe on one dataset, with equal error and minutes.
    """
    facts = size_facts(study.dataset, study.validation, Path("data/prepared"))
    for name, published in study.report.published.items():
        experiment = study.experiments[name]
        told = published.device == device and published.minutes is not None and not published.no_verdict  # else of another recipe
        if told and experiment.train.precision == "float32":
            network = network_name(experiment.model)
            row = {"study": study.name, "experiment": name, "network": network, "seconds": 60.0 * published.minutes}
            recipe = {key: value for key, value in experiment.sections.items() if key not in ("model", "optimizer")}
            optimizer = {key: value for key, value in experiment.optimizer.items() if key != "scalar_lr"}  # there are no scalars
            run = [study.dataset, recipe, optimizer, published.error, published.minutes]
            row["run"] = f"{network} {json.dumps(run, sort_keys=True)}"
            yield row | {"work": run_work(experiment, facts)}


def network_name(model: Mapping) -> str:
    """One name for all networks that compute the same: or one left out of a fit would stay in it under another name."""
    settings = sorted((key, value) for key, value in model.items() if key not in ("name", *INITIALISATION))
    return " ".join([model["name"], *(f"{key}={value}" for key, value in settings)])


def fit(rows: Sequence[Row]) -> dict[str, float]:
    """Seconds per unit of work, none negative, by least squares of the relative error; every network counts the same."""
    work = np.array([row["work"] for row in rows])
    seconds = np.array([row["seconds"] for row in rows])
    times_seen = Counter(row["network"] for row in rows)
    weight = np.array([times_seen[row["network"]] ** -0.5 for row in rows])
    scale = work.max(0) + (work == 0).all(0)  # the solver needs columns of similar size
    solution, _ = nnls(work / scale * (weight / seconds)[:, None], weight)
    return dict(zip(UNITS, (solution / scale).tolist(), strict=True))


def left_out(rows: Sequence[Row]) -> FitError | None:
    """The relative error of each network when fitted to the others, mean and worst; None for one network."""
    networks = list(dict.fromkeys(row["network"] for row in rows))
    if len(networks) == 1:
        return None
    errors = {
        name: [abs(row["work"].seconds(others) / row["seconds"] - 1) for row in rows if row["network"] == name]
        for name in networks
        for others in [fit([row for row in rows if row["network"] != name])]
    }
    means = {name: statistics.mean(values) for name, values in errors.items()}
    worst = max(means, key=means.get)
    mean = statistics.mean(means.values())
    return FitError(mean_percent=round(100 * mean, 1), worst_percent=round(100 * means[worst], 1), worst_network=worst)


def fitted(rows: Sequence[Row], **about: Any) -> Machine:
    """The machine fitted to the rows; `about` has its name, device and kind."""
    seconds_per = {unit: float(f"{value:.4g}") for unit, value in fit(rows).items()}
    kept = by_network(rows, seconds_per) if about["kind"] == "published" else rows
    shown = [{key: _rounded(value) for key, value in row.items() if key != "work"} for row in kept]
    return Machine(seconds_per=seconds_per, error=left_out(rows), rows=shown, **about)


def by_network(rows: Sequence[Row], seconds_per: dict[str, float]) -> list[Row]:
    """For each network the number of its runs, and their fitted time as a share of the true one."""
    shares: dict[str, list[float]] = {}
    for row in rows:
        shares.setdefault(row["network"], []).append(row["work"].seconds(seconds_per) / row["seconds"])
    return [{"network": name, "runs": len(found), "estimated_share": statistics.mean(found)} for name, found in shares.items()]


def _rounded(value: Any) -> Any:
    return float(f"{value:.4g}") if isinstance(value, float) else value
