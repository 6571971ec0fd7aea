"""One network over two processes, against the model of cost/sharing.py: `python benchmarks/scale.py`, after `dvc repro preprocess`.

The same script runs in each process, started by torchrun: once alone, once as two processes, once as two nodes on loopback.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer
from tabulate import tabulate

from reslab.config import library
from reslab.cost.counts import network_work
from reslab.cost.links import Link, Wiring
from reslab.cost.sharing import step_exchange
from reslab.errors import UserError, run

if TYPE_CHECKING:
    from reslab.runs.ranks import Ranks

BATCH = 128
NETWORKS = {
    "resnet20, batch norm": {"depth": 20},
    "resnet110, batch norm": {"depth": 110},
    "resnet110, no batch norm": {"depth": 110, "norm": "none", "tau": 0.1},
}
SIZES = (8, 16 * 2**20)  # bytes: the latency is seen in one, the bandwidth in the other
LAYOUTS = {"1 process": (1, 1), "2 processes": (1, 2), "2 nodes": (2, 1)}  # nodes, processes on each
LIMIT = 600  # seconds of one layout


def timed(work: Callable[[], object], times: int) -> float:
    """The median time of some repetitions, after one that does not count."""
    took = []
    for _ in range(times + 1):
        began = time.perf_counter()
        work()
        took.append(time.perf_counter() - began)
    return statistics.median(took[1:])


def step_of(options: dict, ranks: "Ranks") -> Callable[[], None]:
    """A training step of a network on digits, as this process makes it."""
    import torch

    from reslab.config import library, parse
    from reslab.data import prepared
    from reslab.experiment.assemble import assemble
    from reslab.experiment.bound import bound
    from reslab.training.execution.levels import RunSize, choose_level

    study = library.compose("tau-theory-digits")
    study |= {"report": {}, "experiments": {"one": {"model": options, "train": {"batch_size": BATCH}}}}
    experiment, data = bound(parse(study).experiments["one"]), prepared.load(Path("data/prepared"))
    step = assemble(experiment, data, seed=0, device=torch.device("cpu"), ranks=ranks).step()
    launch, _ = choose_level(step, RunSize(0, 1, 0, 0))  # too short a run to compile for
    step.rule.batch_norm.begin_epoch(step.model)

    def once() -> None:
        size = step.batches.begin(1)[0]
        step.batches.load(size)
        launch(size)

    return once


def measure(output: Path, networks: list[str], steps: int) -> None:
    """In each process: time exchanges and training steps; process 0 writes them."""
    import torch

    from reslab.runs.ranks import Ranks, apart
    from reslab.runs.spread import joined_by_torchrun

    torch.set_num_threads(1)
    found: dict = {"exchange": {}, "step": {}, "began": time.time()}
    with joined_by_torchrun() as ranks:
        for size in SIZES if not ranks.alone else ():
            tensor = torch.zeros(size // 4)
            found["exchange"][size] = timed(partial(ranks.add, tensor), 20)
        for name in networks:
            found["step"][name] = timed(step_of(NETWORKS[name], ranks), steps)
            if ranks.alone:
                with apart():
                    found["step"][f"{name}, half"] = timed(step_of(NETWORKS[name], Ranks(0, 2)), steps)
    if ranks.first:
        output.write_text(json.dumps(found))


def layout(nodes: int, processes: int, *options: str, port: int) -> dict:
    """Run this script under torchrun, and return what its process 0 measured."""
    with TemporaryDirectory() as folder:
        output = Path(folder, "found.json")
        at = ["--rdzv-backend", "c10d", "--rdzv-endpoint", f"localhost:{port}", "--rdzv-id", "scale"]
        command = [sys.executable, "-m", "torch.distributed.run", "--nnodes", str(nodes), "--nproc-per-node", str(processes), *at]
        command += [__file__, "--part", str(output), *options]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "RESLAB_DEVICE": "cpu"}
        began = time.time()
        running = [subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) for _ in range(nodes)]
        said = [each.communicate(timeout=LIMIT)[1] for each in running]
        if any(each.returncode for each in running):
            raise UserError(f"{nodes} x {processes} processes failed: {said[0].strip().splitlines()[-1]}")
        found = json.loads(output.read_text())
    return found | {"start": found["began"] - began}


def fitted(exchange: dict[str, float], processes: int) -> Link:
    """The link whose latency is that of the smallest exchange, and whose bandwidth that of the largest one."""
    small, large = exchange[str(SIZES[0])], exchange[str(SIZES[-1])]
    messages, share = 2 * (processes - 1), 2 * (processes - 1) / processes
    return Link(small / messages, share * SIZES[-1] / max(large - small, 1e-9), "measured here")


def rows(found: dict[str, dict]) -> list[list[str]]:
    """For each network and layout: the time of a step, measured and as the model says, and the speed-up."""
    table = []
    for name, options in NETWORKS.items():
        if name not in found["1 process"]["step"]:
            continue
        whole, half = (found["1 process"]["step"][f"{name}{part}"] for part in ("", ", half"))
        table.append([name, "1 process", f"{1000 * whole:.0f}", "", "1.00"])
        model = json.dumps({"name": "tau_resnet", **options}, sort_keys=True)
        forward = network_work(model, (1, 8, 8), 10)
        for layout_name in list(LAYOUTS)[1:]:
            link = fitted(found[layout_name]["exchange"], 2)
            predicted = half + step_exchange(forward, 2, Wiring(link), across=True)
            measured = found[layout_name]["step"][name]
            table.append([name, layout_name, f"{1000 * measured:.0f}", f"{1000 * predicted:.0f}", f"{whole / measured:.2f}"])
    return table


def main(
    steps: Annotated[int, typer.Option(min=1, help="Training steps of each network in a round; their median counts.")] = 10,
    rounds: Annotated[int, typer.Option(min=1, help="The quickest of so many rounds counts.")] = 3,
    network: Annotated[list[str] | None, typer.Option(help=f"Only some of: {'; '.join(NETWORKS)}.")] = None,
    port: int = 29511,
    part: Annotated[Path | None, typer.Option(hidden=True)] = None,
) -> None:
    """Print the links of two processes and of two nodes on loopback, and the time of a step over them."""
    networks = library.matching(NETWORKS, network or ["*"])
    if part is not None:
        return measure(part, networks, steps)
    if not Path("data/prepared").exists():
        raise UserError("data/prepared: not there; run `dvc repro preprocess`")
    options = ["--steps", str(steps), *(word for name in networks for word in ("--network", name))]
    best: dict[str, dict] = {}
    for _ in range(rounds):
        for name, (nodes, processes) in LAYOUTS.items():
            best[name] = least(best.get(name), layout(nodes, processes, *options, port=port))
    links = {name: fitted(found["exchange"], 2) for name, found in best.items() if found["exchange"]}
    told = [[name, f"{1e6 * link.latency:.0f}", f"{link.bandwidth / 1e6:.0f}"] for name, link in links.items()]
    print(tabulate(told, ["link", "latency, us", "MB/s"], disable_numparse=True), end="\n\n")
    head = [f"ms of a step of {BATCH} digits", "layout", "measured", "model", "speed-up"]
    print(tabulate(rows(best), head, disable_numparse=True), end="\n\n")
    print("s from the command to the first exchange:", ", ".join(f"{name} {each['start']:.1f}" for name, each in best.items()))
    return None


def least(before: dict | None, found: dict) -> dict:
    """The quicker one of each measurement of two rounds."""
    if before is None:
        return found
    merged = {part: {key: min(value, before[part][key]) for key, value in found[part].items()} for part in ("exchange", "step")}
    return found | merged | {"start": min(found["start"], before["start"])}


if __name__ == "__main__":
    run(main)
