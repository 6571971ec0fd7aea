"""How steps are executed: the fastest way that works here, chosen once, and why the faster ones do not."""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from reslab.errors import UserError, first_line
from reslab.training.capture import Kept, Recorded, check_agreement, count_on_device, obstacle
from reslab.training.evaluation import ScoringStep
from reslab.training.step import TrainingStep

LEVELS = ("graph+compile", "graph", "compile", "eager")  # the fastest first
CPU_RATE = 5e10  # floating-point operations a second of one thread, for the estimate
COMPILE_SECONDS = 3.0  # for each convolution, on one CPU thread
COMPILED_GAIN = 0.13  # of a step's time on a CPU
Execute = Callable[[int], None]


@dataclass(frozen=True)
class Work:
    """What a run computes: forward multiply-adds of one image, convolutions, images in all."""

    multiply_adds: int
    convolutions: int
    images: int

    @property
    def cpu_seconds(self) -> float:
        """About how long one CPU thread trains: a multiply-add is two operations, the backward pass costs two forward ones."""
        return 6 * self.multiply_adds * self.images / CPU_RATE

    @property
    def compile_seconds(self) -> float:
        """About how long a CPU compiles."""
        return COMPILE_SECONDS * self.convolutions


@dataclass(frozen=True)
class Rung:
    """The level that a run is executed at, and for each faster one why not."""

    level: str
    refused: dict[str, str] = field(default_factory=dict)


class Compiled:
    """A model compiled for batches of one size; other sizes (an epoch's last batch) are computed as they are written."""

    def __init__(self, model: nn.Module, size: int) -> None:
        self.model, self.size = model, size
        self.fast = torch.compile(model, fullgraph=True, dynamic=False)

    def __call__(self, images: Tensor) -> Tensor:
        return (self.fast if len(images) == self.size else self.model)(images)


def climb(step: TrainingStep, work: Work) -> tuple[Execute, Rung]:
    """Prepare the fastest level that works; return what executes a step of a given number of images.

    RESLAB_ENGINE names a level: it and slower ones are tried. The state of the run is left as it was. Raises UserError for another
    name.
    """
    levels, refused = _levels(step.sums.device, work)
    step.rule.batch_norm.train(step.model)
    for level in levels:
        kept, settings = Kept(step), [dict(group) for group in step.optimizer.param_groups]
        try:
            return _prepare(step, level), Rung(level, refused)
        except torch.OutOfMemoryError:
            raise  # a slower level needs no less: whoever shares the device must make room
        except Exception as error:  # noqa: BLE001 - compilers and drivers raise many kinds; a slower level needs neither
            refused = refused | {level: first_line(error)}
            step.network, step.feed.compiled = None, None
            for group, before in zip(step.optimizer.param_groups, settings, strict=True):
                group.update(before)
        finally:
            kept.put_back()
    raise AssertionError("eager always works")


def record_scoring(step: ScoringStep, rung: Rung) -> Execute:
    """What executes a scoring step at this level; recorded as it is written where the training step is recorded."""
    if not rung.level.startswith("graph"):
        return step
    step.model.eval()
    return Recorded(step)


def _levels(device: torch.device, work: Work) -> tuple[tuple[str, ...], dict[str, str]]:
    """The levels to try, and why others are not."""
    wish = os.environ.get("RESLAB_ENGINE")
    if wish and wish not in LEVELS:
        raise UserError(f"RESLAB_ENGINE={wish} is not allowed; allowed: {', '.join(LEVELS)}")
    levels = LEVELS[LEVELS.index(wish) if wish else 0 :]
    if device.type == "cuda":
        return levels, {}
    refused = {level: "no GPU" for level in levels if level.startswith("graph")}
    if "compile" in levels and (reason := _not_worth_compiling(work, asked=wish == "compile")):
        refused["compile"] = reason
    return tuple(level for level in levels if level not in refused), refused


def _not_worth_compiling(work: Work, *, asked: bool) -> str | None:
    if not any(shutil.which(name) for name in (os.environ.get("CXX", "g++"), "clang++")):
        return "no C++ compiler (g++) on this machine"
    gain = COMPILED_GAIN * work.cpu_seconds
    if asked or gain > 2 * work.compile_seconds:
        return None
    return f"compiling takes about {work.compile_seconds:.0f} s, and would save about {gain:.0f} s"


def _prepare(step: TrainingStep, level: str) -> Execute:
    recorded = level.startswith("graph")
    if recorded and (reason := obstacle(step)):
        raise UserError(reason)
    if level.endswith("compile"):
        if step.rule.recomputes:
            raise UserError("blocks that are computed again are not compiled")
        size = step.feed.begin(1)[0]
        step.network = Compiled(step.model, min(step.rule.ghost_batch_size or size, size))
    if recorded:
        count_on_device(step.optimizer, step.sums.device)
        if level.endswith("compile"):
            step.feed.compile()
    execute = Recorded(step) if recorded else step
    if level != "eager":
        check_agreement(step, execute)
    return execute
