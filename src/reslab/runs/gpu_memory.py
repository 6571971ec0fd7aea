"""Whether an error says that the GPU's memory is full, whichever library ran out of it."""

import re

import torch

# cuBLAS and cuDNN say so when they make a handle, the driver when it instantiates a graph or loads a kernel
FULL = re.compile(r"CU(BLAS|DNN|SPARSE|SOLVER)_STATUS_ALLOC_FAILED|out of memory")


def out_of_memory(error: BaseException | None) -> bool:
    """Whether the error, or one that it was raised from, is a lack of GPU memory."""
    while error is not None:
        if isinstance(error, torch.OutOfMemoryError) or (isinstance(error, RuntimeError) and FULL.search(str(error))):
            return True
        error = error.__cause__ or error.__context__
    return False
