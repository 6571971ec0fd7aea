"""Which level each recipe gets, and a step's time at each level, in each precision and variant."""

import gc
import os
import time

import torch

from light.nets import EPOCH, Varied, in_plain_layout, made, milliseconds, model_of, prepared_step
from light.rows import Recorder
from reslab.training.execution import levels as execution

VARIANTS = {  # options of the compiler, and of `_timed`
    "as it is": {},
    "separate kernels": {
        "combo_kernels": False,
        "triton.cooperative_reductions": False,
        "triton.force_cooperative_reductions": False,
    },
    "dependent launches": {"triton.enable_pdl": True},
    "fast": {},  # nondeterministic kernels, chosen by timing
    "plain layout": {},
}
STEPS = [  # precision, level, variant; the most important first
    ("bfloat16", "graph+compile", "as it is"),
    ("bfloat16", "graph", "as it is"),
    ("tf32", "graph+compile", "as it is"),
    ("bfloat16", "eager", "as it is"),
    ("bfloat16", "graph+compile", "fast"),
    ("float16", "graph+compile", "as it is"),
    ("bfloat16", "graph+compile", "dependent launches"),
    ("bfloat16", "graph+compile", "separate kernels"),
    ("bfloat16", "graph", "plain layout"),
    ("float32", "graph", "as it is"),
]
DRY_STEPS = [STEPS[1], STEPS[3], STEPS[8]]  # `levels` compiles
RECIPES = [
    {},
    {"train": {"precision": "tf32"}},
    {"train": {"precision": "float16"}},
    {"train": {"ema": 0.9}},
    {"train": {"ghost_batch_size": 64}},
    {"augment": [{"name": "random_erasing"}, {"name": "cutout", "size": 4}]},  # mixup, CutMix and RICAP need scipy
    {"optimizer": {"name": "adam", "lr": 1e-3}},
    {"model": {"name": "shake_shake", "depth": 8, "width": 16}},
    {"model": {"name": "vgg", "layers": [1, 1, 2], "widths": [8, 16, 16]}},
    {"augment": [{"name": "lighting"}]},
]
SIZE = execution.RunSize(10**6, 7, 80, 10**6)


def levels(say: Recorder) -> None:
    """The level that each recipe gets, and the reasons against faster ones."""
    for level, recipes in (("graph+compile", RECIPES[:1] if say.dry else RECIPES[:2]), ("graph", RECIPES)):
        for recipe in recipes:
            say.attempt({"wish": level, "recipe": recipe}, _chosen, level, recipe, say.dry)


def _chosen(level: str, recipe: dict, dry: bool) -> dict:
    os.environ["RESLAB_ENGINE"] = level
    before = execution.check_agreement
    if dry:
        execution.check_agreement = lambda *sides: None  # it compares numbers, and there are none
    try:
        with torch.cuda.stream(torch.cuda.Stream()):
            run = made(400, **({"model": {"name": "resnet", "depth": 8}} | recipe))
            _, chosen = execution.choose_level(run.step(), SIZE)
    finally:
        execution.check_agreement = before
    if dry and chosen.level != level:
        raise RuntimeError(f"{chosen.level}: {chosen.refused}")
    return {"got": chosen.level, "refused": chosen.refused}


def steps(say: Recorder, net: str) -> None:
    """A network's step: milliseconds, seconds an epoch, memory, seconds until it is ready, difference from the plain step."""
    for precision, level, name in DRY_STEPS if say.dry else STEPS:
        row = {"net": net, "precision": precision, "level": level, "variant": name}
        with torch.cuda.stream(torch.cuda.Stream()), Varied(**VARIANTS[name]):
            say.attempt(row, _timed, net, precision, level, name, say.dry)
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def _timed(net: str, precision: str, level: str, variant: str, dry: bool) -> dict:
    began = time.monotonic()
    images = 256 if dry else 5120 if net == "resnet20" else 2560
    run = made(images, fast=variant == "fast", model=model_of(net, dry=dry), train={"precision": precision})
    step = in_plain_layout(run) if variant == "plain layout" else run.step()
    launch, differs = prepared_step(step, level)
    ready = time.monotonic() - began
    ms, spread = milliseconds(step, launch, repeats=1 if dry else 5, steps=2 if dry else 20 if level == "eager" else 100)
    return {
        "ms": ms,
        "spread": spread,
        "s_per_epoch": round(ms * EPOCH / 1e3, 3),
        "ready_s": round(ready, 1),
        "gib": round(torch.cuda.max_memory_allocated() / 2**30, 2),
        "deterministic": variant != "fast",
        "differs": differs,
    }
