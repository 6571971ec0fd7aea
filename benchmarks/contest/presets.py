"""The ready-made plans: a smoke test, the CPU's measurement, the H200's."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from contest.plan import GRAPHED, OTHERS, RESNET110, WRN, Case, Packing, Plan, Sweep

GUARD = {
    "model": {"depth": 8},
    "augment": [{"name": "pad_crop", "padding": 1}],
    "schedule": {"name": "cosine"},
    "train": {"epochs": 15, "batch_size": 64},
}
COMPILED = "speedrun-compiled"
PACKED = ("tuned", COMPILED)
ALL_OF_CIFAR = {"images": 50_000, "tests": 10_000}
DIGITS = {"images": 1437, "tests": 360}


def changed(change: Mapping, **sections: Mapping) -> dict:
    """A change of the recipe with more keys in some of its sections."""
    return {**change, **{name: {**change.get(name, {}), **section} for name, section in sections.items()}}


def sweep(name: str, case: Case, points: tuple[float, ...], at: Callable[[Case, float], Case]) -> Sweep:
    """The case, changed by `at` for each point."""
    return Sweep(name, {point: at(case, point) for point in points})


def with_depth(case: Case, depth: float) -> Case:
    """Another depth."""
    return replace(case, change=changed(case.change, model={"depth": depth}))


def with_width(case: Case, width: float) -> Case:
    """Another number of channels in the first stage."""
    return replace(case, change=changed(case.change, model={"width": width}))


def with_batch(case: Case, batch: float) -> Case:
    """Another batch size, and as many images as make whole batches."""
    return replace(case, change=changed(case.change, train={"batch_size": batch}), images=max(case.images // batch, 1) * batch)


def with_images(case: Case, images: float) -> Case:
    """Another size of the dataset."""
    return replace(case, images=images)


def quick(device: str) -> Plan:
    """Under two minutes on two cores: is everything there? Its numbers mean little."""
    small = {"model": {"name": "resnet", "depth": 8}, "train": {"batch_size": 32}}
    case = Case("resnet8", small, images=96, tests=32, loops=("conventional", "tuned", "speedrun"))
    plain = replace(case, loops=("conventional",))  # the tuned loop compiles for seconds in each process
    return Plan(
        device=device,
        levels=("eager",),
        packings=(Packing("packed", plain, (2,), (2,)),),
        cases=(case,),
        races=(Case("race", changed(GUARD, train={"epochs": 2}), 256, 360, ("tuned",)),),
        sweeps=(sweep("images", plain, (64, 128), with_images),),
        guard=Case("guard", changed(GUARD, train={"epochs": 3, "drop_last": True}), **DIGITS),
        rounds=6,
        seconds=0.1,
        sweep_rounds=2,
        sweep_seconds=0.1,
    )


def cpu(device: str) -> Plan:
    """ResNet-20 at batch 128 on one thread a process, and how our cost grows: about 25 minutes on two cores."""
    case = Case("resnet20-float32", {}, images=1024, tests=256)
    point = replace(case, images=512)
    return Plan(
        device=device,
        levels=("eager", "compile"),
        packings=(Packing("packed", replace(case, loops=PACKED), (1, 2), (2,)),),
        cases=(case,),
        races=(Case("race", changed(GUARD, model={"depth": 20}), **DIGITS, loops=OTHERS, seeds=3),),
        sweeps=(
            sweep("depth", point, (20, 32, 56, 110), with_depth),
            sweep("width", point, (8, 16, 32), with_width),
            sweep("batch", point, (32, 64, 128, 256), with_batch),
            sweep("images", point, (256, 512, 1024, 2048), with_images),
        ),
        guard=Case("guard", GUARD, **DIGITS, seeds=2),
        rounds=7,
        seconds=4.0,
        sweep_rounds=3,
        sweep_seconds=2.0,
    )


def h200(_: str) -> Plan:
    """One call of ten minutes, the important first: what --minutes does not allow is named, for another call (--only)."""
    tf32, bfloat16, float16 = ({"train": {"precision": name}} for name in ("tf32", "bfloat16", "float16"))
    thin = Case("resnet20-bfloat16", bfloat16, **ALL_OF_CIFAR, loops=("tuned", COMPILED, *GRAPHED), limit=150)
    deep = replace(thin, name="resnet110-bfloat16", change=changed(RESNET110, **bfloat16), images=12_800, tests=2_000)
    wide = replace(thin, name="wrn28-10-bfloat16", change=changed(WRN, **bfloat16), images=6_400, tests=2_000)
    point = replace(thin, images=12_800, tests=2_000)
    training = {"schedule": {"name": "cosine"}, "train": {"precision": "bfloat16", "epochs": 30}}
    return Plan(
        device="cuda",
        levels=("graph+compile", "graph", "compile", "eager"),
        packings=(
            Packing("packed-resnet20", replace(point, loops=PACKED), (1, 4, 8, 16), (4, 8), limit=200),
            Packing("packed-resnet110", replace(deep, loops=PACKED), (1, 4, 8), (4,), limit=200),
        ),
        cases=(
            thin,
            replace(thin, name="resnet20-tf32", change=tf32, loops=(*OTHERS, *GRAPHED)),
            replace(thin, name="resnet20-float16", change=float16),
            wide,
            deep,
            replace(wide, name="wrn28-10-float16", change=changed(WRN, **float16)),
            replace(wide, name="wrn28-10-tf32", change=changed(WRN, **tf32), loops=("conventional", *GRAPHED)),
            replace(deep, name="resnet110-float16", change=changed(RESNET110, **float16)),
            replace(deep, name="resnet110-tf32", change=changed(RESNET110, **tf32), loops=("conventional", *GRAPHED)),
        ),
        races=(Case("race", training, **ALL_OF_CIFAR, loops=("tuned", COMPILED), seeds=3, limit=900),),
        sweeps=(
            sweep("depth", point, (20, 56, 110), with_depth),
            sweep("width", point, (16, 64, 160), with_width),
            sweep("batch", point, (64, 128, 512, 2048), with_batch),
            sweep("images", point, (6_400, 50_000), with_images),
        ),
        guard=Case("guard", GUARD, **DIGITS),
        rounds=7,
        seconds=1.0,
        sweep_rounds=3,
        sweep_seconds=0.5,
    )


PRESETS = {"quick": quick, "cpu": cpu, "h200": h200}
