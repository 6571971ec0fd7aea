"""What older versions of torch do not do: a reason to skip a test."""

import pytest
import torch
from torch import nn

from reslab.errors import UserError
from reslab.experiment.assemble import check_update
from reslab.training.precision import PRECISIONS


def skip_if_weights_stay(precision: str) -> None:
    """Skip a test that trains on a CPU in a precision whose weights this torch's fused SGD leaves as they are (2.11, 16 bits)."""
    weights = nn.Parameter(torch.ones(64, dtype=PRECISIONS[precision].weights))
    try:
        check_update(torch.optim.SGD([weights], lr=0.1, fused=True))
    except UserError as refused:
        pytest.skip(str(refused))
