"""Where a measurement was made: hardware, clocks, versions, load, commit."""

import importlib.metadata
import os
import platform
import shutil
import subprocess
from datetime import UTC, datetime

import torch

from reslab import git
from reslab.environment import count_from_environment, cpu_count
from reslab.training.execution import hardware

GPU_FACTS = (
    "name,driver_version,clocks.sm,clocks.max.sm,clocks.mem,power.draw,power.limit,temperature.gpu,utilization.gpu,memory.used"
)
VERSIONS = ("torch", "torchvision", "numpy", "pillow")


def machine(device: torch.device) -> dict:
    """What must be quoted with every number of this run."""
    return {
        **hardware.describe(device),
        "threads": count_from_environment("RESLAB_THREADS", 1),
        "cores": cpu_count(),
        "load": [round(load, 2) for load in os.getloadavg()],
        "clocks_mhz": gpu_facts() if device.type == "cuda" else cpu_clocks(),
        "cudnn": torch.backends.cudnn.version() if device.type == "cuda" else None,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "platform": platform.platform(),
        "versions": {name: importlib.metadata.version(name) for name in VERSIONS},
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        **git.commit_state(),
    }


def gpu_facts() -> dict[str, str] | None:
    """Clocks, power and temperature as nvidia-smi tells them; None without it."""
    if shutil.which("nvidia-smi") is None:
        return None
    command = ["nvidia-smi", f"--query-gpu={GPU_FACTS}", "--format=csv,noheader"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    lines = done.stdout.strip().splitlines()
    return dict(zip(GPU_FACTS.split(","), lines[0].split(", "), strict=False)) if lines else None


def gpu_id() -> str:
    """The GPU's name for nvidia-smi, which lists all of a machine; empty if torch does not tell."""
    found = getattr(torch.cuda.get_device_properties(0), "uuid", None)
    return f"GPU-{found}" if found else ""


def cpu_clocks() -> float | None:
    """MHz of the cores at this moment; None where the system does not tell."""
    import psutil

    clocks = psutil.cpu_freq()
    return round(clocks.current) if clocks else None
