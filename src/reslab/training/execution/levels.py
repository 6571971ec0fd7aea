"""The levels of execution: the fastest one that works here is chosen once, with the reason against each faster one."""

import os
import shutil
from collections.abc import Generator
from dataclasses import dataclass, field
from functools import partial

import torch

from reslab.errors import UserError, telling_line
from reslab.runs.gpu_memory import out_of_memory
from reslab.runs.ranks import Ranks, apart
from reslab.training.evaluation import ScoringStep
from reslab.training.execution.compiler import Compiled, compiled
from reslab.training.execution.cuda_graph import Recorded, RecordingError, count_on_device, obstacle, refusing_to_wait
from reslab.training.execution.executor import Launch
from reslab.training.execution.fused_norm import with_own_kernels
from reslab.training.execution.numerics import PORTABLE, in_force
from reslab.training.execution.trial import Changes, Snapshot, changes, changes_in_float32, check_agreement
from reslab.training.step import Forms, TrainingStep, add_up, measured

LEVELS = ("graph+compile", "graph", "compile", "eager")  # the fastest first
CPU_RATE = 5e10  # floating-point operations per second of one CPU thread, roughly
COMPILE_SECONDS = 3.0  # for each convolution, on one CPU thread
COMPILED_GAIN = 0.13  # the share of a step's time that compiling saves on a CPU
MOST_CONVOLUTIONS, LEAST_STEPS = 400, 2000  # for compiling on a GPU, which takes about a second for each convolution
BROKEN = "a recording broke off before"
APART, TOGETHER = False, True  # computing without, and with, exchanging numbers
ELSEWHERE = "it does not work in another of the processes"


@dataclass(frozen=True)
class RunSize:
    """The size of a run: multiply-adds of an image's forward pass, convolutions, and the number of images and steps in all."""

    multiply_adds: int
    convolutions: int
    images: int
    steps: int

    @property
    def cpu_seconds(self) -> float:
        """The estimated training time on one CPU thread: two operations a multiply-add, a backward pass costs two forward ones."""
        return 6 * self.multiply_adds * self.images / CPU_RATE

    @property
    def compile_seconds(self) -> float:
        """The estimated time to compile on a CPU."""
        return COMPILE_SECONDS * self.convolutions

    def not_worth_compiling(self, device: torch.device) -> str | None:
        """The reason why compiling takes longer than it saves, None if it does not."""
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
    """The level that a run is executed at, and the reason against each faster one."""

    level: str
    refused: dict[str, str] = field(default_factory=dict)


def choose_level(step: TrainingStep, run_size: RunSize) -> tuple[Launch, ExecutionLevel]:
    """Prepare the fastest level that works, in all processes of the network, and return what launches the step there.

    RESLAB_ENGINE names a level: it and the slower ones are tried. The state of the run stays as it is. Raises UserError for an
    unknown name.
    """
    ranks = step.rule.ranks
    levels, refused = _levels(step.sums.device, run_size, ranks)
    step.rule.batch_norm.train(step.model)
    for level in levels:
        if level == "eager" or (level == "graph" and BROKEN in refused.values()):
            continue
        settings = [{key: value for key, value in group.items() if key != "params"} for group in step.optimizer.param_groups]
        made, error = _tried(step, level)
        if error is None:
            return made[0], ExecutionLevel(level, refused | made[1])
        if ranks.any(out_of_memory(error)):  # a slower level needs as much: what shares the device must make room
            raise error if out_of_memory(error) else UserError("out of memory in another of the processes of this network")
        refused = refused | {level: telling_line(error)}
        if ranks.any(isinstance(error, RecordingError)):
            refused = {"graph": BROKEN} | refused
        step.forms, step.batches.compiled = Forms(), None
        for group, before in zip(step.optimizer.param_groups, settings, strict=True):
            group.update(before)
    return step, ExecutionLevel("eager", refused)


def _tried(step: TrainingStep, level: str) -> tuple[tuple[Launch, dict[str, str]] | None, Exception | None]:
    """What `_prepared` makes at a level, or the reason why it does not work, here or in another process of the network.

    An error that comes while the processes exchange numbers is raised: the others wait for what this one would have sent, and end
    with it.
    """
    ranks, parts = step.rule.ranks, _prepared(step, level)
    made, found, exchanging = None, None, APART
    while made is None:
        try:
            exchanging = next(parts)
        except StopIteration as end:
            made = end.value
        except Exception as error:
            if exchanging and not ranks.alone and not isinstance(error, RecordingError):
                raise
            found = error  # whatever it is, a slower level may work
        if ranks.any(found is not None):
            return None, found or UserError(ELSEWHERE)
    return made, None


def record_scoring(step: ScoringStep, level: ExecutionLevel) -> Launch:
    """What launches a scoring step at this level: a CUDA graph, never compiled, where the training step is one."""
    if not level.level.startswith("graph"):
        return step
    step.model.eval()
    step.batches.load(step.batches.begin(1)[0])
    try:
        return Recorded(step)
    except Exception as error:
        if out_of_memory(error):
            raise
        level.refused["graph of the evaluation"] = telling_line(error)
        return step


def _levels(device: torch.device, run_size: RunSize, ranks: Ranks) -> tuple[tuple[str, ...], dict[str, str]]:
    """The levels to try, and the reason against each of the others."""
    wish = os.environ.get("RESLAB_ENGINE")
    if wish and wish not in LEVELS:
        raise UserError(f"RESLAB_ENGINE={wish} is not allowed; allowed: {', '.join(LEVELS)}")
    levels = LEVELS[LEVELS.index(wish) if wish else 0 :]
    refused = {} if device.type == "cuda" else {level: "no GPU" for level in levels if level.startswith("graph")}
    reason = _cannot_compile(device) or (None if wish and wish.endswith("compile") else run_size.not_worth_compiling(device))
    if reason:
        refused |= {level: reason for level in levels if level.endswith("compile") and level not in refused}
    refused = {level: refused.get(level, ELSEWHERE) for level in levels if ranks.any(level in refused)}
    return tuple(level for level in levels if level not in refused), refused


def _cannot_compile(device: torch.device) -> str | None:
    if in_force(device.type, torch.backends.cpu.get_cpu_capability()) == PORTABLE:
        return "numerics are portable, and compiled code is made for one processor"
    if device.type == "cuda" or any(shutil.which(name) for name in (os.environ.get("CXX", "g++"), "clang++")):
        return None
    return "no C++ compiler (g++) on this machine"


def _prepared(step: TrainingStep, level: str) -> Generator[bool, None, tuple[Launch, dict[str, str]]]:
    """What launches the step at a level above eager, after a trial, and what was refused by the way.

    Yields where the processes of a network must have come equally far, and whether they exchange numbers in what follows: APART or
    TOGETHER. Raises whatever makes the level unusable.
    """
    recorded, compiles = level.startswith("graph"), level.endswith("compile")
    if recorded and (reason := obstacle(step)):
        raise UserError(reason)
    if compiles and step.rule.recomputes:
        raise UserError("blocks that are computed again are not compiled")
    if recorded:
        count_on_device(step.optimizer, step.sums.device)
    step.batches.load(step.batches.begin(1)[0])
    yield TOGETHER
    plain, exact = changes(step, step), changes_in_float32(step)
    yield APART
    if compiles:
        _compile(step, recorded=recorded)
    if level == "graph" and step.rule.ranks.alone:
        return with_own_kernels(step.model, partial(_agreeing, step, plain, exact))
    if not step.rule.ranks.alone:  # what fails does so before the others wait for this one's numbers
        with apart():
            for launch in (step, partial(_unwaited, step)) if recorded else (step,):  # a compiler, when it compiles, may wait
                changes(step, launch)
    yield TOGETHER
    launch = _recorded(step) if recorded else step
    yield TOGETHER
    found = changes(step, launch)
    yield APART
    check_agreement(plain, found, exact)
    return launch, {}


def _compile(step: TrainingStep, *, recorded: bool) -> None:
    """Give the step its compiled forms."""
    rule, size, device = step.rule, step.batches.batch_sizes[0], step.sums.device
    here = rule.ranks.part(size, rule.unit)
    images = here.stop - here.start
    network = Compiled(step.model, min(rule.ghost_batch_size or images, images), step.casts)
    step.forms = Forms(network, *(compiled(part, device) for part in (measured, add_up))) if recorded else Forms(network)
    if recorded:
        step.batches.compile(partial(compiled, device=device))


def _unwaited(step: TrainingStep, size: int) -> None:
    """The step; raises RuntimeError if it makes the host wait for the device, which could not be recorded."""
    with refusing_to_wait(True):
        step(size)


def _agreeing(step: TrainingStep, plain: Changes, exact: Changes | None) -> Recorded:
    """The step, recorded; raises UserError unless it changes what the plain steps do."""
    launch = _recorded(step)
    check_agreement(plain, changes(step, launch), exact)
    return launch


def _recorded(step: TrainingStep) -> Recorded:
    torch.cuda.empty_cache()  # the memory of the plain steps
    snapshot = Snapshot(step)
    try:
        return Recorded(step)
    finally:
        snapshot.put_back()
