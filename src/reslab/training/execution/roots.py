"""Square roots on a CPU as IEEE 754 defines them, the same on every processor.

torch takes those of float32 and float64 from MKL, which begins with the processor's approximation (`rsqrtps`) unless it knows
the processor to be Intel's: 17 % are off by a last bit, and other ones on AMD's processors than on Intel's, whatever MKL_CBWR says.
RMSprop and its kin divide by such roots (fused Adam has its own), and so does batch norm that is evaluated on every second pixel.
"""

import warnings

import numpy as np
import torch
from torch import Tensor

_replaced: list[torch.library.Library] = []  # torch's own are back when it is let go


def use_exact_roots(wanted: bool) -> None:
    """Compute `sqrt` of CPU tensors exactly, in torch's own code too, or as torch does. Powers of 0.5 stay torch's."""
    if wanted and not _replaced:
        library = torch.library.Library("aten", "IMPL")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch says that a kernel is replaced
            library.impl("sqrt", _root, "CPU")
            library.impl("sqrt_", lambda x: x.copy_(_root(x)), "CPU")
            library.impl("sqrt.out", lambda x, *, out: out.resize_(x.shape).copy_(_root(x)), "CPU")
        _replaced.append(library)
    elif not wanted and _replaced:
        _replaced.pop()._destroy()


def _root(x: Tensor) -> Tensor:
    if x.dtype not in (torch.float32, torch.float64):  # a root in float32 is the nearest one of 16 bits too, once rounded
        wide = torch.get_default_dtype() if not x.dtype.is_floating_point else x.dtype
        return _root(x.float()).to(wide)
    root = torch.empty_like(x)
    with np.errstate(invalid="ignore"):  # of negative numbers, nan as torch says
        np.sqrt(x.detach().numpy(), out=root.numpy())
    return root
