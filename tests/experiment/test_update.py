"""An optimizer that would leave the weights as they are is refused before anything is trained."""

import pytest
import torch
from torch import nn

from reslab.errors import UserError
from reslab.experiment.assemble import check_update
from reslab.training.optim.optimizers import sgd


class Idle(torch.optim.SGD):
    """Does nothing, as torch 2.11 does with fused updates of 16 bits on a CPU."""

    def step(self, closure=None):
        return None


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_an_update_that_does_nothing_is_refused(dtype):
    model = nn.Linear(2, 2).to(dtype)
    with pytest.raises(UserError, match=r"train\.precision: Idle of torch .* does not change weights of 16 bits on a CPU"):
        check_update(Idle(model.parameters(), lr=0.1, fused=True))
    check_update(Idle(model.float().parameters(), lr=0.1, fused=True))


@pytest.mark.skipif(torch.__version__.startswith("2.11."), reason="its fused SGD does nothing to weights of 16 bits on a CPU")
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_ours_changes_them(dtype):
    model = nn.Linear(2, 2).to(dtype)
    before = [weights.clone() for weights in model.parameters()]
    check_update(sgd(model, lr=0.1, momentum=0.9))
    assert all(torch.equal(*pair) for pair in zip(before, model.parameters(), strict=True))
