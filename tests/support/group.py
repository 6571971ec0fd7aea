"""Small networks trained by one, two and three processes: `python group.py OUTPUT` trains them all and stores what came out.

A process of its own, because processes that are forked before anything is trained start in no time.
"""

import multiprocessing
import sys
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
import torch._dynamo  # what is recomputed loads it, for seconds: once, before processes are forked
from small_runs import run
from torch import distributed, nn
from whole_runs import InterruptAt, Interrupted, Never, train

from reslab.experiment.assemble import Run
from reslab.runs.ranks import Ranks
from reslab.training import checkpoint
from reslab.training.execution.executor import Executor
from reslab.training.log import Log
from reslab.training.shared_norm import share_statistics

PLAIN = {"epochs": 2, "batch_size": 13, "precision": "float64"}  # of 40 images: the last batch has one, fewer than processes
GHOST = {"ghost_batch_size": 4}
SHAKE = {"name": "shake_shake", "depth": 8, "width": 4}
CASES = {
    "batch norm": {},
    "no batch norm": {"model": {"name": "tau_resnet", "depth": 8, "norm": "none"}},
    "cumulative": {"train": {"batch_norm": {"momentum": "cumulative", "reset": "epoch"}}},
    "frozen": {"train": {"batch_norm": {"frozen": True}}},
    "ghost batches": {"train": GHOST},
    "ghost batches, cumulative": {"train": GHOST | {"batch_norm": {"momentum": "cumulative"}}},
    "clipping and averages": {"train": {"gradient_clip": 0.1, "ema": 0.9}},
    "mixup": {"augment": [{"name": "flip"}, {"name": "mixup", "alpha": 1.0}]},
    "ricap, ghost batches": {"augment": [{"name": "flip"}, {"name": "ricap"}], "train": GHOST},
    "dual cutout": {"augment": [{"name": "dual_cutout", "size": 4}], "loss": {"name": "dual_cutout"}},
    "ten crops": {"train": {"evaluation": {"crops": "ten", "padding": 2}}},
    "with replacement, tail dropped": {"train": {"replacement": True, "drop_last": True}},
    "recomputed": {"train": {"recompute": True}},
    "dropout": {"model": {"name": "wrn", "depth": 10, "widening_factor": 1, "dropout": 0.3}},
    "dropout, ghost batches": {"model": {"name": "wrn", "depth": 10, "widening_factor": 1, "dropout": 0.3}, "train": GHOST},
    "shake-shake": {"model": SHAKE},
    "lars": {"optimizer": {"name": "lars", "rule": "hysts", "lr": 0.05, "momentum": 0.9, "weight_decay": 1e-4}},
}
ROWS = {  # of the published study: 512 images on 1 to 8 GPUs, here 16
    f"gpus{count}": {
        "model": {"name": "wrn", "depth": 10, "widening_factor": 1},
        "augment": [{"name": "flip"}, {"name": "normalize"}, {"name": "ricap", "beta": 0.3}],
        "optimizer": {"lr": 0.2, "nesterov": True},
        "train": {"batch_size": 16, "drop_last": True} | ({"ghost_batch_size": 16 // count} if count > 1 else {}),
    }
    for count in (1, 2, 4, 8)
}
EQUAL = CASES | ROWS  # with any number of processes
PER_PROCESS = {"per process": {"train": {"batch_size": 18, "drop_last": True, "batch_norm": {"across": "process"}}}}
SIZES = (1, 2, 3)
NORMS = {
    "1d": (nn.BatchNorm1d, (7, 5), {}),
    "1d, sequences": (nn.BatchNorm1d, (2, 5, 4), {}),  # of three processes one has no image
    "2d, nothing learned": (nn.BatchNorm2d, (7, 5, 3, 2), {"affine": False}),
    "2d, cumulative": (nn.BatchNorm2d, (7, 5, 3, 2), {"momentum": None, "eps": 0.1}),
    "3d": (nn.BatchNorm3d, (4, 5, 2, 3, 2), {}),
}


def small_run(case: dict, ranks: Ranks) -> Run:
    return run(ranks=ranks, **(case | {"train": PLAIN | case.get("train", {})}))


def ghosts_of(case: dict, size: int) -> dict:
    """The case in one process, whose ghost batches are the parts of so many."""
    train = case["train"]
    return {"train": {key: train[key] for key in train if key != "batch_norm"} | {"ghost_batch_size": train["batch_size"] // size}}


def outcome(made: Run, log: Log) -> dict:
    state = {f"{name}": tensor.clone() for name, tensor in made.model.state_dict().items()}
    average = {f"average {name}": tensor.clone() for name, tensor in made.result.state_dict().items()}
    return {"state": state | average, "history": log.history, "position": asdict(log.position) | {"seconds": 0}}


def trained(case: dict, ranks: Ranks) -> dict:
    made = small_run(case, ranks)
    step, log = made.step(), Log()
    scorers = {split: Executor(scoring) for split, scoring in made.scoring_steps().items()}
    train(step, made.schedule, made.budget, log, checkpointer=Never(), scorers=scorers)
    return outcome(made, log)


def norms(ranks: Ranks) -> dict:
    """Batch norms of all kinds, two steps of each on parts of a batch: its part's outputs and gradients, and their sums."""
    generator, found = torch.Generator().manual_seed(0), {}
    for name, (kind, shape, options) in NORMS.items():
        norm = kind(5, **options).double()
        order = nullcontext() if ranks.alone else share_statistics(norm, ranks)
        for _ in range(2):
            whole = torch.randn(shape, generator=generator, dtype=torch.float64)
            x = whole[ranks.part(len(whole))].clone().requires_grad_()
            with order:
                y = norm(x)
                (y.square() * (y - 1)).sum().backward()
        lengths = [part.stop - part.start for part in ranks.parts(len(whole))]
        told = {"y": y.detach(), "of x": x.grad}
        told = told if ranks.alone else {key: ranks.joined(part, lengths) for key, part in told.items()}
        learned = {key: ranks.add(parameter.grad.clone()) for key, parameter in norm.named_parameters()}
        found[name] = told | learned | {key: buffer.clone() for key, buffer in norm.named_buffers()}
    return found


class Stopping(InterruptAt):
    """Ends the run after a step in all processes; one of them writes the checkpoint."""

    writes = True

    def save_if_due(self, *, within_epoch: bool = False) -> None:
        if self.writes:
            super().save_if_due(within_epoch=within_epoch)
        elif (self.log.position.step, within_epoch) == (self.until, self.within_epoch):
            raise Interrupted


def part_of_run(path: Path, ranks: Ranks, stop: int) -> dict:
    """Go on from the checkpoint, if there is one, to another one in the middle of an epoch."""
    made = small_run({"train": {"ghost_batch_size": 4, "ema": 0.9}}, ranks)
    step, log = made.step(), Log()
    if checkpoint.exists(path):
        log = checkpoint.restore(path, step, made.schedule)
    keeper = Stopping(path, step, made.schedule, log, stop, within_epoch=True)
    keeper.writes = ranks.first
    train(step, made.schedule, made.budget, log, checkpointer=keeper, scorers={})
    return outcome(made, log)


def in_group(size: int, rank: int, store: str, folder: str) -> None:
    """What a process does: all the cases; process 0 stores the outcomes."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=size)
    ranks = Ranks(rank, size)
    cases = EQUAL | PER_PROCESS
    found = {name: trained(case, ranks) for name, case in cases.items()}
    found_of_norms = norms(ranks)
    found["again"] = trained(CASES["batch norm"], ranks)
    equal = all(same_everywhere(part["state"], ranks) for part in found.values())
    if rank == 0:
        torch.save({"found": found, "equal": equal, "norms": found_of_norms}, Path(folder, f"{size}.pt"))
    distributed.destroy_process_group()


def same_everywhere(state: dict, ranks: Ranks) -> bool:
    mine = torch.cat([tensor.double().flatten() for tensor in state.values()])
    lowest, highest = mine.clone(), mine.clone()
    if not ranks.alone:
        distributed.all_reduce(lowest, distributed.ReduceOp.MIN)
        distributed.all_reduce(highest, distributed.ReduceOp.MAX)
    return torch.equal(lowest, highest)


def resuming(size: int, rank: int, store: str, path: str, stop: int) -> None:
    """One leg of the run that goes on with another number of processes."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=size)
    made = part_of_run(Path(path), Ranks(rank, size), stop)
    if rank == 0:
        torch.save(made, Path(path).with_name("resumed.pt"))
    distributed.destroy_process_group()


def together(size: int, function, *arguments) -> None:
    """Call a function in so many processes, and wait for them."""
    context = multiprocessing.get_context("fork")
    with TemporaryDirectory() as folder:
        started = [context.Process(target=function, args=(size, rank, f"{folder}/store", *arguments)) for rank in range(size)]
        for process in started:
            process.start()
        for process in started:
            process.join()
        assert not any(process.exitcode for process in started), f"{function.__name__} with {size} processes failed"


def main(folder: Path) -> None:
    """Train everything; nothing is trained in this process itself."""
    for size in SIZES:
        together(size, in_group, str(folder))
    for size, stop in ((2, 3), (1, 6), (3, 10**9)):
        together(size, resuming, str(folder / "checkpoint.pt"), stop)
    together(1, resuming, str(folder / "straight" / "checkpoint.pt"), 10**9)


if __name__ == "__main__":
    (Path(sys.argv[1]) / "straight").mkdir(parents=True)
    main(Path(sys.argv[1]))
