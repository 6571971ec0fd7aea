"""RESLAB_DEVICE is a device that trains, or one line."""

import pytest
import torch

from reslab.errors import UserError
from reslab.training.execution.hardware import choose_device


@pytest.mark.parametrize("wish", ["cpu", "cpu:0", "cpu:3"])
def test_there_is_one_cpu(monkeypatch, wish):
    monkeypatch.setenv("RESLAB_DEVICE", wish)
    assert choose_device() == torch.device("cpu")


@pytest.mark.parametrize(
    "wish", ["gpu", "meta", "cpu:-1", "cpu:x", "cuda:x", "cuda:99", "CPU", " cpu", "cpu,cuda", "0", ":", "é", "x" * 999]
)
def test_any_other_is_refused(monkeypatch, wish):
    monkeypatch.setenv("RESLAB_DEVICE", wish)
    with pytest.raises(UserError, match=r"^RESLAB_DEVICE=.*allowed: cpu, cuda"):
        choose_device()
