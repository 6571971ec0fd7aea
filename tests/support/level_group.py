"""Two processes choose a level of execution: `python level_group.py FOLDER` prints what both have chosen, a line for each case.

In the second one the compiler is missing, or fails, and no cache helps.
"""

import json
import os
import sys
from dataclasses import asdict

import torch
import torch._inductor.config
from group import together
from small_runs import run

from reslab.runs.ranks import Ranks
from reslab.training.execution import levels

SMALL = {"model": {"name": "vgg", "layers": [1], "widths": [4]}, "train": {"batch_size": 13}}
SECOND = {"missing": {"CXX": "none", "PATH": ""}, "broken": {"CXX": "false"}, "there": {}}


def choose(size: int, rank: int, store: str, folder: str, case: str) -> None:
    os.environ |= {"RESLAB_ENGINE": "compile", "TORCHINDUCTOR_CACHE_DIR": f"{folder}/{case if rank else 'there'}"} | (
        SECOND[case] if rank else {}
    )
    torch._inductor.config.cpp.cxx = (os.environ.get("CXX", "g++"),)
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=size)
    step = run(ranks=Ranks(rank, size), **SMALL).step()
    launch, chosen = levels.choose_level(step, levels.RunSize(10**6, 1, 10**6, 10**6))
    for count in step.begin_epoch(1):
        step.batches.load(count)
        launch(count)
    found = [None] * size
    torch.distributed.all_gather_object(found, asdict(chosen) | {"sums": step.sums.tolist()})
    if rank == 0:
        print(json.dumps(found), flush=True)
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    for name in SECOND:
        together(2, choose, sys.argv[1], name)
