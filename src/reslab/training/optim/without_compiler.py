"""torch's optimizers without its compiler, which they import when first used: a second at the start of every process."""

import inspect

import torch
from torch.optim import Optimizer

GUARDED = ("add_param_group", "load_state_dict", "state_dict", "zero_grad")  # methods that torch excludes from compilation


def without_compiler(optimizer: type[Optimizer]) -> type[Optimizer]:
    """The same optimizer, in name and in numbers, for steps that are never compiled as a whole.

    torch guards a step by `torch._dynamo.graph_break()`, and some methods by `torch._dynamo.disable`. Our levels compile forward
    and backward pass only, so that there is nothing to guard.
    """
    methods = {name: inspect.unwrap(getattr(optimizer, name)) for name in GUARDED}
    step = torch.no_grad()(inspect.unwrap(optimizer.step))
    return type(optimizer.__name__, (optimizer,), methods | {"step": step, "__doc__": optimizer.__doc__})
