"""Our engine. The one place of the benchmark that knows how it is called."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext

import torch

from loops.job import Job, Work
from reslab import config
from reslab.data import prepared
from reslab.errors import UserError
from reslab.experiment.assemble import Run, assemble
from reslab.experiment.bound import bound
from reslab.training.evaluation import scoring
from reslab.training.execution import hardware, levels
from reslab.training.loop import Epoch, in_turns
from reslab.training.turns import finished

LEVELS = levels.LEVELS
NO_MATTER_HOW_LONG = levels.Work(0, 1, 0, 10**6)  # the level is asked for


class Engine:
    """The step, the ladder and the turns that the train stage uses; on a GPU each seed has a stream of its own."""

    def __init__(self, job: Job) -> None:
        experiment = bound(config.from_sections("benchmark", job.sections))
        device = torch.device(job.device)
        hardware.prepare(device, precision=experiment.train.precision, fast=experiment.train.fast)
        data = prepared.load(job.data)
        self.seeds = []
        for seed in job.seeds:
            stream = torch.cuda.stream(torch.cuda.Stream(device)) if device.type == "cuda" else nullcontext()
            with stream:
                self.seeds.append(Seed(assemble(experiment, data, seed=seed, device=device), job.level, stream))

    def train(self, epochs: int) -> Work:
        """Go on for so many epochs of each seed, step by step in turns."""
        images, left = 0, dict.fromkeys(self.seeds, epochs)
        while left:
            for seed in list(left):
                epoch = seed.turn()
                if epoch is not None:
                    images, left[seed] = images + epoch.images, left[seed] - 1
                    if left[seed] == 0:
                        del left[seed]
        return Work(images)

    def evaluate(self) -> float:
        """The mean test error, as a fraction."""
        return sum(seed.error() for seed in self.seeds) / len(self.seeds)


class Seed:
    """One network under way."""

    def __init__(self, run: Run, level: str, stream: AbstractContextManager) -> None:
        self.run, self.stream, step = run, stream, run.step()
        os.environ["RESLAB_ENGINE"] = level
        execute, chosen = levels.choose_level(step, NO_MATTER_HOW_LONG)
        if chosen.level != level:
            raise UserError(f"level {level}: {chosen.refused[level]}")
        self.turns: Iterator[Epoch | None] = in_turns(step, run.schedule, total_steps=run.budget.steps, execute=execute)
        self.scored = run.scoring_steps()["test"]
        self.execute_scoring = levels.record_scoring(self.scored, chosen)

    def turn(self) -> Epoch | None:
        """One step; the record of an epoch at its end."""
        with self.stream:
            return next(self.turns)

    def error(self) -> float:
        """The test error, as a fraction."""
        with self.stream:
            return finished(scoring(self.scored, self.execute_scoring)).error
