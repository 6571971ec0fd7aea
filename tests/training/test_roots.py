"""Square roots in portable numerics: the nearest number, wherever torch takes them; native numerics keep torch's own."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from reslab.training.execution import hardware, roots

CPU = torch.device("cpu")


@pytest.fixture
def numbers():
    """A tensor, and its roots by the processor's own instruction."""
    hardware.prepare(CPU, precision="float32", fast=False, numeric="portable")
    numbers = torch.rand(4096, generator=torch.Generator().manual_seed(0)) * 3 + 1e-3
    yield numbers, torch.from_numpy(np.sqrt(numbers.numpy()))
    roots.use_exact_roots(False)


def test_roots_are_the_nearest_numbers_in_every_form(numbers):
    x, expected = numbers
    assert torch.equal(x.sqrt(), expected)
    assert torch.equal(x.clone().sqrt_(), expected)
    out = torch.empty(0)
    assert torch.sqrt(x, out=out) is out and torch.equal(out, expected)
    assert torch.equal(torch._foreach_sqrt([x])[0], expected)  # of RMSprop, Adagrad, Adadelta
    assert torch.equal(x.double().sqrt(), torch.from_numpy(np.sqrt(x.double().numpy())))
    assert torch.equal(x.bfloat16().sqrt(), x.bfloat16().double().sqrt().bfloat16())
    assert torch.equal(torch.tensor([4, 9]).sqrt(), torch.tensor([2.0, 3.0])) and torch.tensor(4).sqrt().item() == 2
    assert torch.tensor([-1.0]).sqrt().isnan().all()
    part = x.view(64, 64)[:, ::2]
    assert torch.equal(part.sqrt(), expected.view(64, 64)[:, ::2])


def test_gradients_go_through(numbers):
    x = numbers[0].clone().requires_grad_()
    x.sqrt().sum().backward()
    torch.testing.assert_close(x.grad, 0.5 / numbers[1])


def test_batch_norm_of_every_second_pixel_is_that_of_a_copy(numbers):
    """Torch evaluates a view that is not contiguous with roots of its own, and divides by them."""
    images = torch.randn(3, 64, 8, 8).contiguous(memory_format=torch.channels_last)[:, :, ::2, ::2]
    mean, variance = torch.randn(64), numbers[0][:64]
    found, copied = (F.batch_norm(x, mean, variance, eps=0.0) for x in (images, images.contiguous()))
    torch.testing.assert_close(found, copied)
    scale = (1 / numbers[1][:64])[:, None, None]
    assert torch.equal(found, (images - mean[:, None, None]) * scale)


def test_native_numerics_keep_torchs_own(numbers):
    ours = numbers[0].sqrt()
    hardware.prepare(CPU, precision="float32", fast=False)
    assert not roots._replaced
    torch.testing.assert_close(numbers[0].sqrt(), ours)
