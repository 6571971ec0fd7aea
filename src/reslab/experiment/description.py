"""The description of an experiment: numbers that change only when its behaviour does."""

import json
import math
import zlib
from dataclasses import replace

import torch
from torch import nn

from reslab.config import plugins
from reslab.config.study import Experiment
from reslab.data import normalize
from reslab.data.prepared import Prepared
from reslab.errors import located
from reslab.experiment import own_code
from reslab.experiment.assemble import assemble
from reslab.experiment.bound import BoundExperiment, bound
from reslab.experiment.check import check_network, check_parts
from reslab.models.analysis.count import single_value_norms
from reslab.models.analysis.propagation import tau_of
from reslab.training.loop import set_rate
from reslab.training.step import train_step

CPU = torch.device("cpu")
TRACE_STEPS = 3
TRACE_BATCH, SMALL_TRACE_BATCH = 8, 2
LARGE = 10**9  # multiply-adds of one image, from which on the trace takes the smaller batches: float64 is slow
DIVERGED_ABOVE = 1e6
DATASET_FACTS = ("name", "image_shape", "class_names", "train", "validation", "test", "resize", "checksum")  # resize: of files


def trace(experiment: BoundExperiment, data: Prepared, *, batch_size: int, least: int = 1) -> list[float | str]:
    """Losses of the first training steps of the real recipe in float64 on small batches: equal on every machine to 9 digits.

    `least`: the fewest images that the network's batch norm can take at once.
    """
    torch.set_num_threads(1)
    with torch.random.fork_rng(devices=[]):  # for layers of one's own that draw from torch's generator; none of ours does
        torch.manual_seed(0)
        return _traced_losses(experiment, data, batch_size=batch_size, least=least)


def _traced_losses(experiment: BoundExperiment, data: Prepared, *, batch_size: int, least: int) -> list[float | str]:
    network = assemble(experiment, data, seed=0, device=CPU, precision="float64", batch_size=batch_size)
    chunk = network.rule.ghost_batch_size
    rule = replace(network.rule, ghost_batch_size=chunk and max(least, min(chunk, batch_size // 2)))  # so that chunks are seen
    losses = []
    network.rule.batch_norm.begin_epoch(network.model)
    for step, batch in zip(range(TRACE_STEPS), network.batches.iterate(1), strict=False):
        if len(batch[0]) < least:
            break
        set_rate(network.optimizer, network.schedule(step))
        loss, _ = train_step(network.model, batch, network.loss, network.optimizer, rule)
        losses.append(loss.item())
    return [traced(step, loss) for step, loss in enumerate(losses)]


def traced(step: int, loss: float) -> float | str:
    """A loss to the digits that are equal on all machines; none are once an update has made it explode."""
    if not math.isfinite(loss) or (step > 0 and loss > DIVERGED_ABOVE):
        return "diverged"
    return float(f"{loss:.9g}" if loss <= DIVERGED_ABOVE else f"{loss:.6g}")


def layout(model: nn.Module) -> str:
    """A checksum of the tensors' names, shapes and types: stored networks of another layout cannot be loaded."""
    names = {name: [list(tensor.shape), str(tensor.dtype)] for name, tensor in model.state_dict().items()}
    return f"{zlib.crc32(json.dumps(names, sort_keys=True).encode()):08x}"


def description(experiment: Experiment, data: Prepared) -> dict:
    """Resolved config, counts, tau, parameter groups, constants, dataset checksum and trace of an experiment.

    Raises UserError, with the path, for what the experiment cannot do on this data.
    """
    made, facts = bound(experiment), data.facts
    with located(f"experiments.{experiment.name}"):
        network = made.network(facts, seed=0)
        counts = check_network(made, network, facts)
        check_parts(made, facts)
        least = 2 if single_value_norms(network, facts["image_shape"]) else 1
        run, batch_size = (
            assemble(made, data, seed=0, device=CPU),
            TRACE_BATCH if counts["multiply_adds"] < LARGE else SMALL_TRACE_BATCH,
        )
        tau = tau_of(run.model)
        losses = trace(made, data, batch_size=batch_size, least=least)
    return {
        "config": made.resolved_sections(),
        "dataset": {key: facts[key] for key in DATASET_FACTS if key in facts},
        "normalization": normalize.summary(*made.normalization(data)),
        "model": counts | ({} if math.isnan(tau) else {"tau": float(f"{tau:.7g}")}),
        "state": layout(run.model),
        "parameter_groups": [
            {
                "name": group["name"],
                "tensors": len(group["params"]),
                "lr": group["initial_lr"],
                "weight_decay": group["weight_decay"],
            }
            for group in run.optimizer.param_groups
        ],
        "budget": {"steps": run.budget.steps, "steps_per_epoch": run.budget.steps_per_epoch},
        "trace": losses,
    } | optional_parts(made, facts)


def optional_parts(made: BoundExperiment, facts: dict) -> dict:
    """What only an experiment with code of its own, or one that starts from weights, has in its description."""
    own = own_code.checksums_of(plugins.names_in(made.sections))
    starts = made.start_facts(facts)
    return ({own_code.KEY: own} if own else {}) | ({"init_from": starts} if starts else {})
