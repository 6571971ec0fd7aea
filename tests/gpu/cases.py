"""What the tests of the stand-in run on it, in a process of its own: `cases.py NAME...` prints JSON lines.

This folder, tests/support and src must be on PYTHONPATH.
"""

import gc
import json
import os
import sys
import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import standin
import torch
from families import CASES
from small_runs import run
from test_gpu_levels import Job, train_network
from torch.testing._internal.distributed.fake_pg import FakeStore

from reslab import config
from reslab.data.augment import draw_kernel
from reslab.data.augment.recipe import AUGMENTATIONS, MIXINGS
from reslab.data.batches.held_out import HeldOutBatches
from reslab.data.batches.order import Order
from reslab.data.batches.resident import Resident
from reslab.data.prepared import Prepared
from reslab.data.prepared.splits import Arrays
from reslab.experiment.assemble import assemble
from reslab.experiment.bound import bound
from reslab.runs.ranks import Ranks
from reslab.runs.shared_gpu import run_together
from reslab.training.execution import fused_norm, hardware, levels
from reslab.training.losses import LOSSES
from reslab.training.optim.optimizers import OPTIMIZERS
from reslab.training.precision import PRECISIONS

GPU = torch.device("cuda")
SIZE = levels.RunSize(10**6, 7, 80, 10**6)
BY_TORCHVISION = {"colour_jitter", "trivial_augment", "rand_augment"}  # image by image, on the host
REQUIRED = {"cutout": {"size": 4}, "dual_cutout": {"size": 4}, "pad_crop": {"padding": 2}}
OVER_PROCESSES = [
    {},
    {"model": {"name": "tau_resnet", "depth": 8, "norm": "none"}},
    {"augment": [{"name": "mixup"}]},
    {"train": {"ghost_batch_size": 8}},
    {"train": {"batch_norm": {"across": "process"}}},
    {"train": {"ema": 0.9, "gradient_clip": 0.5}},
    {"train": {"precision": "bfloat16"}},
    {"train": {"precision": "float16"}},
]
CIFAR = {
    "normalize": {"name": "constants", "mean": [0.5] * 3, "std": [0.25] * 3},
    "augment": [{"name": "pad_crop", "padding": 4}, {"name": "flip"}],
    "loss": {"name": "cross_entropy"},
    "optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.9, "weight_decay": 1e-4},
    "schedule": {"name": "cosine"},
    "train": {"epochs": 2, "batch_size": 128, "precision": "bfloat16"},
}


def captured(made, level: str, size: levels.RunSize = SIZE) -> dict:
    """What comes of recording one step of a run at a level."""
    os.environ["RESLAB_ENGINE"] = level
    with torch.cuda.stream(torch.cuda.Stream()):
        step = made.step()
        standin.reset()
        _, chosen = levels.choose_level(step, size)
    graphs = standin.counts().get("call|graph captured", 0)
    kernels = standin.captured() // max(graphs, 1)
    return {"level": chosen.level, "refused": chosen.refused, "kernels": kernels, "anomalies": standin.anomalies()}


def recipes(widest: int, level: str = "graph") -> None:
    """Every family, loss, mixing, augmentation, optimizer and precision, recorded as one step, with or without compiling.

    A program of batch norm's kernels takes `widest` channels at most: every width in every form would compile for half a second.
    """
    fused_norm.WIDEST = widest
    sections = [{"model": {"name": name} | options, "side": 64 if name.startswith("imagenet") else 32} for name, options in CASES]
    sections += [{"train": {"precision": name}} for name in PRECISIONS]
    sections += [{"optimizer": {"name": name, "lr": 0.01} | ({"rule": "paper"} if name == "lars" else {})} for name in OPTIMIZERS]
    sections = [part for part in sections if part.get("optimizer", {}).get("name") not in ("adabound", "adagrad")]  # on the host
    steps = sorted((AUGMENTATIONS | MIXINGS).keys() - BY_TORCHVISION)
    sections += [{"augment": [{"name": name} | REQUIRED.get(name, {})]} for name in steps]
    sections += [{"loss": {"name": name}} for name in LOSSES]
    sections += [{"train": part} for part in ({"ema": 0.9}, {"recompute": True}, {"ghost_batch_size": 8}, {"gradient_clip": 0.5})]
    for section in sections:
        name = json.dumps(section)
        say(case=name, **captured(run(device=GPU, **section), level))


def several(count: int, level: str = "graph") -> None:
    """One network over so many processes, of which this is the first: the others are pretended, and nothing is exchanged."""
    _pretend(count)
    for section in OVER_PROCESSES:
        say(case=json.dumps(section), processes=count, **captured(run(device=GPU, ranks=Ranks(0, count), **section), level))


def waiting(count: int) -> None:
    """A network that makes the host wait for the device, over so many processes."""
    _pretend(count)
    made = run(device=GPU, ranks=Ranks(0, count))
    made.model.register_forward_pre_hook(lambda model, given: (given[0] + given[0].sum().item(),))
    say(case="waiting", processes=count, **captured(made, "graph", levels.RunSize(10**6, 7, 80, 10)))


def _pretend(count: int) -> None:
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group("fake", store=FakeStore(), rank=0, world_size=count)


def network(model: dict, images: int = 256):
    """A run on made-up images of CIFAR's shape, in batches of 128."""
    random = np.random.default_rng(0)
    splits = [Arrays(random.integers(0, 256, (n, 3, 32, 32), dtype=np.uint8), np.arange(n) % 10) for n in (images, 100)]
    data = Prepared(splits[0], None, splits[1], {"image_shape": [3, 32, 32], "class_names": list("abcdefghij")})
    hardware.prepare(GPU, precision="bfloat16", fast=False)
    return assemble(bound(config.from_sections("x", CIFAR | {"model": model})), data, seed=0, device=GPU)


def kernels(level: str, depth: int) -> None:
    """The kernels of one recorded step of a residual network in bfloat16."""
    say(case=f"resnet{depth} {level}", **captured(network({"name": "resnet", "depth": depth}), level))


def together(count: int) -> None:
    """Networks recorded together."""
    say(case="together", **_together([{} for _ in range(count)]))


def crowded() -> None:
    """Networks of which the last is larger than the others, in little more than it needs: beside them it finds no room."""
    small, large = {}, {"model": {"width": 128}, "train": {"batch_size": 40}}
    _together([large])
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    _together([large])
    torch.cuda.empty_cache()
    most, used = torch.cuda.max_memory_reserved() - torch.cuda.memory_reserved(), standin.counts()["bytes|used"]
    standin.limit_memory(used + most + 8 * 2**20)
    say(case="crowded", **_together([small, small, small, large]))
    standin.limit_memory(1 << 37)


def _together(networks: list[dict]) -> dict:
    os.environ["RESLAB_ENGINE"] = "graph"
    found, under_way, counted = [], set(), {"started": 0, "at_once": 0}

    def train(job: Job, take_turn) -> None:
        under_way.add(job.seed)
        counted["started"] += 1
        counted["at_once"] = max(counted["at_once"], len(under_way))
        try:
            step = run(seed=job.seed, device=GPU, **networks[job.seed]).step()
            launch, level = levels.choose_level(step, SIZE)
            for epoch in (1, 2):
                for size in step.begin_epoch(epoch):
                    step.batches.load(size)
                    launch(size)
                    take_turn()
            found.append(level.level)
        finally:
            under_way.remove(job.seed)

    standin.reset()
    before = torch.cuda.memory_reserved()
    for _ in range(2):
        list(run_together(train, [Job(seed) for seed in range(len(networks))], device=GPU))
        gc.collect()
    return {"levels": found, **counted, "anomalies": standin.anomalies(), "left": torch.cuda.memory_reserved() - before}


def resumed(level: str) -> None:
    """A run that stops within an epoch, and goes on from its checkpoint."""
    os.environ["RESLAB_ENGINE"] = level
    done, turns = {}, {2: [], None: []}
    with tempfile.TemporaryDirectory() as folder, torch.cuda.stream(torch.cuda.Stream()):
        standin.reset()
        for until, taken in turns.items():
            train_network(Job(0), lambda taken=taken: taken.append(1), done, {}, Path(folder) / "checkpoint.pt", until)
    say(case="resumed", level=done[0].level.level, turns=[*map(len, turns.values())], anomalies=standin.anomalies())


def copies() -> None:
    """The bytes on the device of one split, of a second order of it, and the kernels that score ten thousand images."""
    split = Arrays(np.zeros((1000, 3, 32, 32), np.uint8), np.zeros(1000, np.int64))
    kept, sizes = [], [torch.cuda.memory_allocated()]
    for seed in range(2):
        kept.append(Resident(split, Order(1000, 128, seed), GPU))
        sizes.append(torch.cuda.memory_allocated())
    made = network({"name": "resnet", "depth": 20}, images=128)
    tests = Arrays(np.zeros((10_000, 3, 32, 32), np.uint8), np.zeros(10_000, np.int64))
    made.held_out["test"] = HeldOutBatches(tests, made.batches.normalize, GPU)
    scoring = made.scoring_steps()["test"]
    with torch.cuda.stream(torch.cuda.Stream()):
        standin.reset()
        levels.record_scoring(scoring, levels.ExecutionLevel("graph"))
    kernels = standin.captured() * len(scoring.batches.batch_sizes)
    say(case="copies", images=split.images.nbytes, bytes=[b - a for a, b in pairwise(sizes)], kernels=kernels)


def say(**row) -> None:
    """Print a row."""
    print(json.dumps(row), flush=True)


if __name__ == "__main__":
    levels.check_agreement = lambda *sides: None  # it compares numbers, and there are none here
    draw_kernel.agree = lambda *sides: True
    hardware.prepare(GPU, precision="float32", fast=False)
    gc.freeze()  # recording collects garbage each time: what is loaded by now is none
    for case in sys.argv[1:]:
        name, *arguments = case.split(":")
        globals()[name](*(int(argument) if argument.isdigit() else argument for argument in arguments))
    sys.stdout.flush()
    os._exit(0)  # torch 2.11's processes that compile may hang at the end
