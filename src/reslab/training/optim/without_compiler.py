"""Optimizers that do not load torch's compiler, which torch's own import at their first use: a second of every process's start."""

import inspect

import torch
from torch.optim import Optimizer

GUARDED = ("add_param_group", "load_state_dict", "state_dict", "zero_grad")  # methods that tell the compiler to leave them alone


def without_compiler(optimizer: type[Optimizer]) -> type[Optimizer]:
    """The same optimizer, in name and in numbers, for steps that are never compiled as a whole.

    torch guards a step by `torch._dynamo.graph_break()`, and some methods by `torch._dynamo.disable`. Our levels compile forward
    and backward pass only, so that there is nothing to guard.
    """
    methods = {name: inspect.unwrap(getattr(optimizer, name)) for name in GUARDED}
    step = torch.no_grad()(inspect.unwrap(optimizer.step))
    return type(optimizer.__name__, (optimizer,), methods | {"step": step, "__doc__": optimizer.__doc__})
