"""Fresh processes: copies of one that has loaded torch and done nothing, for loading it anew takes seconds each time."""

import multiprocessing
from multiprocessing.context import ForkServerContext

LOADED = ["torch", "reslab.experiment.assemble"]


def fresh() -> ForkServerContext:
    """Where they come from; a copy of this process itself would hang in torch's threads or in CUDA."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(LOADED)
    return context
