"""Our own kernels in Triton's interpreter, which must be chosen before triton is imported: test_kernels.py runs this file."""

import copy

import pytest
import torch
from torch import nn

from reslab.data.augment import draw_kernel
from reslab.models.resnet import resnet
from reslab.rng import uniform
from reslab.training.execution import fused_norm
from reslab.training.execution.cuda_graph import RecordingError


def computed(norm: nn.BatchNorm2d, images, slopes, relu: bool, forward) -> list[torch.Tensor]:
    """Output, gradients and running statistics, in float64."""
    norm = copy.deepcopy(norm).to(images.dtype if images.dtype == torch.float64 else torch.float32)
    x = images.clone(memory_format=torch.preserve_format).requires_grad_()
    y = forward(norm, x, relu)
    y.backward(slopes.to(y.dtype))
    return [part.double() for part in (y.detach(), x.grad, norm.weight.grad, norm.bias.grad, norm.running_mean, norm.running_var)]


def plain(norm, x, relu):
    return norm(x).relu() if relu else norm(x)


def own(norm, x, relu):
    return fused_norm.normalized(norm, x, relu=relu)


def case(shape, dtype=torch.float32):
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(shape[1])
    nn.init.uniform_(norm.weight)
    nn.init.normal_(norm.bias)
    images = (3 * torch.randn(shape) + 5).to(dtype).contiguous(memory_format=torch.channels_last)
    return norm, images, torch.randn_like(images)


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("shape", [(8, 16, 8, 8), (4, 80, 5, 5), (3, 10, 7, 7), (8, 16, 12, 12), (2, 1, 1, 1)])
def test_numbers_are_those_of_batch_norm_in_float64(shape, relu, monkeypatch):
    monkeypatch.setattr(fused_norm, "MOST_PROGRAMS", 4)  # several tiles a program, and a last program with fewer
    norm, images, slopes = case(shape)
    exact = computed(norm, images.double(), slopes.double(), relu, plain)
    for expected, found in zip(exact, computed(norm, images, slopes, relu, own), strict=True):
        torch.testing.assert_close(found, expected, rtol=3e-5, atol=3e-5 * expected.abs().max().item() + 1e-6)


@pytest.mark.parametrize("relu", [False, True])
def test_half_precision_is_rounded_once(relu):
    norm, images, slopes = case((8, 16, 8, 8), torch.float16)
    exact = computed(norm, images.double(), slopes.double(), relu, plain)
    for expected, found in zip(exact, computed(norm, images, slopes, relu, own), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


def test_results_repeat_bitwise_and_count():
    norm, images, slopes = case((8, 16, 12, 12))
    one, two = (computed(norm, images, slopes, True, own) for _ in range(2))
    assert all(map(torch.equal, one, two))
    own(norm, images, relu=False)
    assert norm.num_batches_tracked == 1


def test_what_is_not_a_number_is_not_hidden_by_relu():
    norm, images, _ = case((4, 3, 4, 4))
    images[0, 0, 0, 0] = float("nan")
    assert own(norm, images, relu=True)[:, 0].isnan().all()


@pytest.mark.parametrize("change", ["eval", "double", "layout"])
def test_elsewhere_batch_norm_is_torchs(change):
    norm, images, _ = case((4, 16, 4, 4), torch.float64 if change == "double" else torch.float32)
    norm = norm.to(images.dtype).train(change != "eval")
    images = images.contiguous() if change == "layout" else images
    other = copy.deepcopy(norm)
    assert torch.equal(own(norm, images, relu=True), plain(other, images, relu=True))
    assert torch.equal(norm.running_var, other.running_var)


def test_a_network_with_the_kernels_trains_as_one_without():
    torch.manual_seed(0)
    model = resnet(3, 4, depth=8, width=4).to(memory_format=torch.channels_last).double().float()
    images = torch.randn(4, 3, 8, 8).contiguous(memory_format=torch.channels_last)
    gradients, before = [], copy.deepcopy(model.state_dict())
    for fuses in (False, True):
        model.load_state_dict(before)
        norms = fused_norm.fuse(model) if fuses else []
        assert len(norms) == (7 if fuses else 0)
        gradients.append(torch.autograd.grad(model(images).square().sum(), list(model.parameters())))
    fused_norm.release(norms)
    assert not any({"forward", "with_relu"} & vars(module).keys() for module in model.modules())
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4 * one.abs().max().item())


def test_an_attempt_that_fails_with_the_kernels_is_made_without():
    model, tries = resnet(3, 4, depth=8, width=4), []

    def attempt():
        tries.append(any("with_relu" in vars(module) for module in model.modules()))
        if tries[-1]:
            raise RuntimeError("Triton: no compiler")
        return print

    assert fused_norm.with_own_kernels(model, attempt) == (print, {"own kernels of batch norm": "Triton: no compiler"})
    assert tries == [True, False]

    def broken():
        raise RecordingError("broke off")

    with pytest.raises(RecordingError):
        fused_norm.with_own_kernels(model, broken)


@pytest.mark.parametrize("key", [0, -1, 2**63 - 1, -(2**63), 123456789])
def test_draws_by_the_kernel_have_the_same_bits(key):
    index = torch.cat([torch.arange(300), torch.randint(-(2**63), 2**63 - 1, (300,))])
    assert torch.equal(draw_kernel.by_kernel(index, torch.tensor(key)), uniform(index, torch.tensor(key)))


def test_a_kernel_that_cannot_be_made_or_errs_is_not_used(monkeypatch):
    draw_kernel.works.cache_clear()
    assert draw_kernel.works(torch.device("cpu"))
    for wrong in (lambda index, key: uniform(index, key) + 2**-53, lambda index, key: 1 / 0):
        draw_kernel.works.cache_clear()
        monkeypatch.setattr(draw_kernel, "by_kernel", wrong)
        assert not draw_kernel.works(torch.device("cpu"))
    draw_kernel.works.cache_clear()
