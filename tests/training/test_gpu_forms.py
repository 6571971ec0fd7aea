"""What a GPU computes in another form than a CPU: the same numbers, shown on the CPU."""

from functools import partial

import pytest
import torch
from torch.nn import functional as F

from reslab.errors import telling_line
from reslab.models.vgg import windows
from reslab.runs.gpu_memory import out_of_memory
from reslab.training import losses
from reslab.training.execution import compiler


@pytest.mark.parametrize(("side", "count"), [(1, 7), (7, 7), (9, 7), (15, 4), (224 // 32, 6)])
def test_windows_are_those_of_adaptive_pooling(side, count):
    x = torch.randn(2, 3, side, side + 1, dtype=torch.float64)
    rows, columns = windows(side, count, x), windows(side + 1, count, x)
    torch.testing.assert_close(rows @ x @ columns.T, F.adaptive_avg_pool2d(x, count))


def test_values_found_by_comparison_are_those_gathered():
    values, labels = torch.randn(8, 5, requires_grad=True), torch.randint(5, (8, 4))
    gathered, compared = losses.gathered(values, labels), losses.compared(values, labels)
    assert torch.equal(gathered, compared)
    weights = torch.rand(8, 4)
    found = [torch.autograd.grad((part * weights).sum(), values)[0] for part in (gathered, compared)]
    torch.testing.assert_close(*found)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("#ifdef X\n#endif\n/tmp/a.cpp:3:1: fatal error: no such file\nmore", "/tmp/a.cpp:3:1: fatal error: no such file"),
        ("backend='inductor' raised:\nCppCompileError: C++ compile error\n\nCommand:\ng++", "CppCompileError: C++ compile error"),
        ("short", "short"),
        ("#ifdef", "RuntimeError"),
    ],
)
def test_the_line_that_tells_is_said(text, line):
    assert telling_line(RuntimeError(text)) == line


def test_a_lack_of_memory_is_known_in_every_form():
    for text in ("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", "CUDA error: out of memory"):
        assert out_of_memory(RuntimeError(text))
    try:
        try:
            raise torch.OutOfMemoryError("x")
        except RuntimeError as inner:
            raise ValueError("a recording broke off") from inner
    except ValueError as outer:
        assert out_of_memory(outer)
    assert not out_of_memory(RuntimeError("CUDA error: misaligned address"))
    assert not out_of_memory(ValueError("out of memory"))


def test_shapes_too_small_for_forced_reductions_are_compiled_without():
    calls = []

    def forced(x):
        calls.append(len(x))
        assert torch._functorch.config.force_non_lazy_backward_lowering  # else 2.11 refuses the backward pass later, past the `try`
        if len(x) < 4:
            raise torch._inductor.exc.InductorError(AssertionError("rnumel >= split"), None)
        return x + 1

    sparing = compiler._Sparing(forced, lambda x: x + 2)
    found = [sparing(torch.zeros(size)).sum().item() for size in (4, 2, 2, 4)]
    assert found == [4, 4, 4, 4]
    assert calls == [4, 2, 4]  # a shape that was refused is not tried again


def test_a_process_compiles_as_many_networks_as_it_trains(monkeypatch):
    class Net(torch.nn.Module):
        def __init__(self, depth):
            super().__init__()
            self.blocks = torch.nn.Sequential(*[torch.nn.Identity() for _ in range(depth)])

        def forward(self, x):
            return self.blocks(x) + len(self.blocks)

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))  # its compiler's part takes seconds each
    for depth in range(12):
        fast = compiler.compiled(Net(depth), torch.device("cpu"), fullgraph=True)
        assert fast(torch.zeros(1)).item() == depth


def test_force_is_left_out_where_it_is_not_wanted():
    forced, spared = (compiler.options(torch.device("cuda"), forced=wanted)["options"] for wanted in (True, False))
    assert forced.keys() - spared.keys() == {compiler.FORCED}
