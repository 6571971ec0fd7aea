"""RESLAB_DEVICE is a device that trains, or one line; so is a variable that would change the precision behind the study."""

import pytest
import torch

from reslab.errors import UserError
from reslab.training.execution.hardware import OVERRIDE, choose_device, prepare


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


@pytest.mark.parametrize(("value", "precision"), [("1", "float32"), ("0", "tf32"), ("no", "bfloat16")])
def test_another_precision_than_the_study_s_is_refused(monkeypatch, value, precision):
    monkeypatch.setenv(OVERRIDE, value)
    with pytest.raises(UserError, match=f"NVIDIA_TF32_OVERRIDE={value}: .*against train.precision {precision}; unset it"):
        prepare(torch.device("cuda"), precision=precision, fast=False)


@pytest.mark.parametrize(("value", "precision"), [("0", "float32"), ("0", "bfloat16"), ("", "tf32")])
def test_the_study_s_own_precision_is_not(monkeypatch, value, precision):
    monkeypatch.setenv(OVERRIDE, value)
    prepare(torch.device("cuda"), precision=precision, fast=False)
