"""How steps are executed: the fastest way that works here, chosen once, and why the faster ones do not."""

import os
import shutil
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from reslab.errors import UserError, first_line
from reslab.training.evaluation import ScoringStep
from reslab.training.execution.cuda_graph import Recorded, RecordingError, count_on_device, obstacle
from reslab.training.execution.trial import Execute, Snapshot, changes, check_agreement
from reslab.training.step import TrainingStep

LEVELS = ("graph+compile", "graph", "compile", "eager")  # the fastest first
CPU_RATE = 5e10  # floating-point operations a second of one thread, for the estimate
COMPILE_SECONDS = 3.0  # for each convolution, on one CPU thread
COMPILED_GAIN = 0.13  # of a step's time on a CPU
MOST_CONVOLUTIONS, LEAST_STEPS = 400, 2000  # compiled for a GPU: about a second for each convolution
BROKEN = "a recording broke off before"


@dataclass(frozen=True)
class Work:
    """What a run computes: forward multiply-adds of one image, convolutions, images and steps in all."""

    multiply_adds: int
    convolutions: int
    images: int
    steps: int

    @property
    def cpu_seconds(self) -> float:
        """About how long one CPU thread trains: a multiply-add is two operations, the backward pass costs two forward ones."""
        return 6 * self.multiply_adds * self.images / CPU_RATE

    @property
    def compile_seconds(self) -> float:
        """About how long a CPU compiles."""
        return COMPILE_SECONDS * self.convolutions

    def not_worth_compiling(self, device: torch.device) -> str | None:
        """Why compiling would not pay."""
        if device.type == "cuda":
            if self.convolutions > MOST_CONVOLUTIONS:
                return f"{self.convolutions} convolutions would compile for too long"
            return f"{self.steps} steps are too few to pay for compiling" if self.steps < LEAST_STEPS else None
        gain = COMPILED_GAIN * self.cpu_seconds
        if gain > 2 * self.compile_seconds:
            return None
        return f"compiling takes about {self.compile_seconds:.0f} s, and would save about {gain:.0f} s"


@dataclass(frozen=True)
class ExecutionLevel:
    """The level that a run is executed at, and for each faster one why not."""

    level: str
    refused: dict[str, str] = field(default_factory=dict)


class Compiled:
    """A model compiled for batches of one size; other sizes (an epoch's last batch) are computed as they are written."""

    def __init__(self, model: nn.Module, size: int) -> None:
        self.model, self.size = model, size
        # Once more, for the compiler, which was not loaded when hardware.prepare chose.
        torch.use_deterministic_algorithms(torch.are_deterministic_algorithms_enabled())
        self.fast = torch.compile(model, fullgraph=True, dynamic=False)

    def __call__(self, images: Tensor) -> Tensor:
        return (self.fast if len(images) == self.size else self.model)(images)


def choose_level(step: TrainingStep, work: Work) -> tuple[Execute, ExecutionLevel]:
    """Prepare the fastest level that works; return what executes a step of a given number of images.

    RESLAB_ENGINE names a level: it and slower ones are tried. The state of the run is left as it was. Raises UserError for another
    name.
    """
    levels, refused = _levels(step.sums.device, work)
    step.rule.batch_norm.train(step.model)
    for level in levels:
        if level == "eager" or (level == "graph" and BROKEN in refused.values()):
            continue
        settings = [{key: value for key, value in group.items() if key != "params"} for group in step.optimizer.param_groups]
        try:
            return _prepared(step, level), ExecutionLevel(level, refused)
        except torch.OutOfMemoryError:
            raise  # a slower level needs no less: whoever shares the device must make room
        except Exception as error:  # noqa: BLE001 - compilers and drivers raise many kinds; a slower level needs neither
            refused = refused | {level: first_line(error)}
            if isinstance(error, RecordingError):
                refused = {"graph": BROKEN} | refused
            step.network, step.feed.compiled = None, None
            for group, before in zip(step.optimizer.param_groups, settings, strict=True):
                group.update(before)
    return step, ExecutionLevel("eager", refused)


def record_scoring(step: ScoringStep, level: ExecutionLevel) -> Execute:
    """What executes a scoring step at this level; recorded as it is written where the training step is recorded."""
    if not level.level.startswith("graph"):
        return step
    step.model.eval()
    step.feed.load(step.feed.begin(1)[0])
    try:
        return Recorded(step)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - as above
        level.refused["graph of the evaluation"] = first_line(error)
        return step


def _levels(device: torch.device, work: Work) -> tuple[tuple[str, ...], dict[str, str]]:
    """The levels to try, and why others are not."""
    wish = os.environ.get("RESLAB_ENGINE")
    if wish and wish not in LEVELS:
        raise UserError(f"RESLAB_ENGINE={wish} is not allowed; allowed: {', '.join(LEVELS)}")
    levels = LEVELS[LEVELS.index(wish) if wish else 0 :]
    refused = {} if device.type == "cuda" else {level: "no GPU" for level in levels if level.startswith("graph")}
    reason = _no_compiler(device) or (None if wish and wish.endswith("compile") else work.not_worth_compiling(device))
    if reason:
        refused |= {level: reason for level in levels if level.endswith("compile") and level not in refused}
    return tuple(level for level in levels if level not in refused), refused


def _no_compiler(device: torch.device) -> str | None:
    if device.type == "cuda" or any(shutil.which(name) for name in (os.environ.get("CXX", "g++"), "clang++")):
        return None
    return "no C++ compiler (g++) on this machine"


def _prepared(step: TrainingStep, level: str) -> Execute:
    """What executes the step at a level above eager, after a trial; raises whatever speaks against it."""
    recorded, compiled = level.startswith("graph"), level.endswith("compile")
    if recorded and (reason := obstacle(step)):
        raise UserError(reason)
    if compiled and step.rule.recomputes:
        raise UserError("blocks that are computed again are not compiled")
    if recorded:
        count_on_device(step.optimizer, step.sums.device)
    size = step.feed.begin(1)[0]
    step.feed.load(size)
    plain = changes(step, step)
    if compiled:
        step.network = Compiled(step.model, min(step.rule.ghost_batch_size or size, size))
    if recorded and compiled:
        step.feed.compile()
    execute = _recorded(step) if recorded else step
    check_agreement(plain, changes(step, execute))
    return execute


def _recorded(step: TrainingStep) -> Recorded:
    torch.cuda.empty_cache()  # what the plain steps took
    kept = Snapshot(step)
    try:
        return Recorded(step)
    finally:
        kept.put_back()
