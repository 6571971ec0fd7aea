"""The machine, and what it can do at most."""

import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable

import torch

from light.rows import Recorder

FIELDS = "name,driver_version,clocks.sm,clocks.max.sm,clocks.mem,power.draw,power.limit,temperature.gpu,mig.mode.current"


def facts(say: Recorder) -> None:
    """Versions, clocks, and the ceilings: matrix products, copying, the smallest kernel of a graph."""
    smi = None
    if shutil.which("nvidia-smi"):
        command = ["nvidia-smi", f"--query-gpu={FIELDS}", "--format=csv,noheader"]
        smi = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    mps = shutil.which("nvidia-cuda-mps-control")
    say(torch=torch.__version__, gpu=torch.cuda.get_device_name(), cudnn=torch.backends.cudnn.version(), smi=smi, mps=mps)
    say(cores=os.cpu_count(), python=sys.version.split()[0])
    side = 256 if say.dry else 8192
    for name, dtype in (("bf16", torch.bfloat16), ("fp32", torch.float32)):
        a, b = (torch.randn(side, side, device="cuda", dtype=dtype) for _ in range(2))
        say(ceiling=name, tflops=round(2 * side**3 / 1e12 / seconds_of(lambda a=a, b=b: a @ b), 1))
    x = torch.empty(1 << (20 if say.dry else 30), dtype=torch.uint8, device="cuda")
    y = torch.empty_like(x)
    say(ceiling="copy", tb_per_s=round(2 * x.nbytes / 1e12 / seconds_of(lambda: y.copy_(x)), 2))
    z, graph = torch.zeros(1024, device="cuda"), torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(1000):
            z.add_(1)
    say(ceiling="smallest kernel of a graph", us=round(seconds_of(graph.replay) * 1e3, 3))


def seconds_of(function: Callable[[], object], repeats: int = 10) -> float:
    """The median time of a call."""
    times = []
    for _ in range(repeats + 3):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        function()
        end.record()
        torch.cuda.synchronize()
        times.append(begin.elapsed_time(end) / 1e3)
    return max(statistics.median(times[3:]), 1e-9)
