"""reslab's own loop. The only file of the benchmark that knows how it is called."""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn

from loops.job import Job, LevelRefused, Work
from reslab import config
from reslab.data import prepared
from reslab.experiment.assemble import Run, assemble
from reslab.experiment.bound import bound
from reslab.runs.processes import Reporter
from reslab.runs.shared_gpu import run_together
from reslab.training import loop
from reslab.training.execution import hardware, levels
from reslab.training.execution.executor import Executor
from reslab.training.log import Log
from reslab.training.schedule.budget import Budget

LEVELS = levels.LEVELS
ANY_SIZE = levels.RunSize(0, 1, 0, 10**6)  # the level is asked for


class Engine:
    """The loop, the levels and the turns on a shared GPU that the train stage uses."""

    def __init__(self, job: Job) -> None:
        experiment = bound(config.from_sections("benchmark", job.sections))
        self.device = torch.device(job.device)
        hardware.prepare(self.device, precision=experiment.train.precision, fast=experiment.train.fast)
        data = prepared.load(job.data)
        self.networks = []
        for seed in job.seeds:
            with self._stream():
                run = assemble(experiment, data, seed=seed, device=self.device)
                self.networks.append(Network(seed, run, job.level))

    def _stream(self) -> AbstractContextManager:
        on_gpu = self.device.type == "cuda"
        return torch.cuda.stream(torch.cuda.Stream(self.device)) if on_gpu else nullcontext()

    def train(self, epochs: int) -> Work:
        """Go on for so many epochs of each network, step by step in turns."""
        before = sum(network.log.images for network in self.networks)
        for network in self.networks:
            network.epochs += epochs
        for _ in run_together(Network.train, self.networks, device=self.device, most=len(self.networks)):
            pass
        return Work(sum(network.log.images for network in self.networks) - before)

    def evaluate(self) -> float:
        """The mean test error, as a fraction."""
        return sum(loop.evaluate(network.scorer).error for network in self.networks) / len(self.networks)

    def trained_network(self) -> nn.Module:
        """The network of the first seed."""
        return self.networks[0].run.model


class KeepNoCheckpoint:
    """What the loop calls in place of a checkpointer: none of the loops compared here writes checkpoints."""

    def save_if_due(self, *, within_epoch: bool = False) -> None:
        """Save nothing."""


class Network:
    """One network under way, a job of `run_together`."""

    def __init__(self, seed: int, run: Run, level: str) -> None:
        self.seed, self.run, self.step, self.log, self.epochs = seed, run, run.step(), Log(), 0
        os.environ["RESLAB_ENGINE"] = level
        self.launch, chosen = levels.choose_level(self.step, ANY_SIZE)
        if chosen.level != level:
            raise LevelRefused(f"level {level}: {chosen.refused[level]}")
        scored = run.scoring_steps()["test"]
        self.scorer = Executor(scored, levels.record_scoring(scored, chosen))

    def train(self, take_turn: Callable[[], None]) -> None:
        """Train up to `epochs` epochs in all."""
        length = Budget(self.epochs * self.run.budget.steps_per_epoch, self.run.budget.steps_per_epoch)
        loop.train(
            Executor(self.step, self.launch, take_turn),
            self.run.schedule,
            length,
            self.log,
            scorers={},
            checkpointer=KeepNoCheckpoint(),
            reporter=Reporter(self.seed, length.steps),
        )
