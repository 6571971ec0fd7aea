"""From the command to the first training step: `python benchmarks/startup.py`; with --commands, what light commands cost.

Each measurement is a new process; rounds are interleaved and the first does not count (it fills the file cache). One step of a bare
linear layer is what no program with an optimizer of torch can be faster than: the optimizer loads torch's compiler, used or not.
"""

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from tabulate import tabulate

from reslab.errors import UserError, run

FIRST_STEP = """
import sys, time
from pathlib import Path
sys.path.insert(0, "stages")
import train
from reslab import config
from reslab.data import prepared
from reslab.experiment.assemble import assemble
from reslab.experiment.bound import bound
from reslab.training.execution import hardware, levels
experiment = config.load(Path("params.yaml")).experiment(sys.argv[1])
device = hardware.choose_device()
hardware.prepare(device, precision=experiment.train.precision, fast=experiment.train.fast)
made = assemble(bound(experiment), prepared.load(Path("data/prepared")), seed=0, device=device)
step = made.step()
launch, level = levels.choose_level(step, levels.RunSize(0, 1, 0, 0))
size = step.batches.begin(1)[0]
step.batches.load(size)
launch(size)
step.sums.tolist()
print(time.time(), level.level)
"""
BARE_STEP = """
import time, torch
layer = torch.nn.Linear(2, 2)
optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
layer(torch.ones(1, 2)).sum().backward()
optimizer.step()
print(time.time(), "")
"""
COMMANDS = {
    "import torch": "import time, torch; print(time.time(), '')",
    "import stages/train.py": "import sys, time; sys.path.insert(0, 'stages'); import train; print(time.time(), '')",
    "a bare step of torch": BARE_STEP,
    "the first step": FIRST_STEP,
}

MAIN = "from reslab.cli import main; main()"
LIGHT: dict[str, tuple[list[str], dict[str, str]]] = {  # arguments and environment of commands that load no torch
    "--help": (["--help"], {}),
    "a TAB after reslab": ([], {"COMP_WORDS": "reslab st", "COMP_CWORD": "1"}),
    "a TAB after reslab show": ([], {"COMP_WORDS": "reslab show dig", "COMP_CWORD": "2"}),
    "studies": (["studies"], {}),
    "show digits-tau": (["show", "digits-tau", "--machine", "intel-xeon-1-thread"], {}),
    "select, refused": (["select", "none"], {}),
}


def cpu_seconds(command: list[str], environment: dict[str, str]) -> float:
    """The CPU time of a new process, whatever else the machine does."""
    child = subprocess.Popen(command, env=os.environ | environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, _, used = os.wait4(child.pid, 0)
    child.returncode = 0  # it was waited for above
    return used.ru_utime + used.ru_stime


def print_commands(rounds: int) -> None:
    """Print the CPU time of light commands, the least of all rounds, and as a ratio to a Python that does nothing."""
    bare = [sys.executable, "-c", "pass"]
    known = {"python -c pass": (bare, {})}
    for name, (arguments, words) in LIGHT.items():
        completion = {"_RESLAB_COMPLETE": "complete_bash"} if words else {}
        script = f"import sys; sys.argv[0] = 'reslab'; {MAIN}"
        known[name] = ([sys.executable, "-c", script, *arguments], words | completion)
    least = {name: min(cpu_seconds(*each) for _ in range(rounds + 1)) for name, each in known.items()}
    rows = [[name, f"{took:.3f}", f"{took / least['python -c pass']:.0f}"] for name, took in least.items()]
    print(tabulate(rows, ["reslab", "CPU s", "times a bare Python"], disable_numparse=True))


def seconds(script: str, experiment: str) -> tuple[float, str]:
    """Time from the start of a new process until its script says so, and what it adds."""
    began = time.time()
    done = subprocess.run([sys.executable, "-c", script, experiment], capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"the first step failed: {done.stderr.strip().splitlines()[-1]}")
    ended, _, note = done.stdout.strip().splitlines()[-1].partition(" ")
    return float(ended) - began, note


def main(
    experiment: Annotated[str, typer.Option(help="An experiment of params.yaml.")] = "resnet020-bn",
    rounds: Annotated[int, typer.Option(min=1)] = 5,
    commands: Annotated[bool, typer.Option("--commands", help="Measure light commands instead.")] = False,
) -> None:
    """Print medians over rounds; wants `dvc repro preprocess` done."""
    if commands:
        return print_commands(rounds)
    if not Path("data/prepared").exists():
        raise UserError("data/prepared: not there; run `dvc repro preprocess`")
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    notes = {}
    for number in range(rounds + 1):
        for name, script in COMMANDS.items():
            took, notes[name] = seconds(script, experiment)
            if number:
                times[name].append(took)
    rows = [[name, f"{statistics.median(taken):.2f}", f"{min(taken):.2f}", notes[name]] for name, taken in times.items()]
    print(tabulate(rows, [f"{experiment}: s until", "median", "least", "level"], disable_numparse=True))
    return None


if __name__ == "__main__":
    run(main)
