"""Clocks and power of a device while a part of the benchmark runs, so that one that was throttled or shared shows."""

import shutil
import statistics
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

INTERVAL = 0.5  # seconds
FIELDS = {  # what is kept -> nvidia-smi's name of it
    "sm_mhz": "clocks.sm",
    "memory_mhz": "clocks.mem",
    "watts": "power.draw",
    "celsius": "temperature.gpu",
    "busy_percent": "utilization.gpu",
}
MOST = 20_000  # samples: hours; a watch must not fill the memory


class Watch:
    """Samples while it is entered: of a GPU by one nvidia-smi that repeats itself, of a CPU's cores by psutil.

    Where neither is there, or says nothing, there are no samples; the benchmark goes on.
    """

    def __init__(self, device: str, *, interval: float = INTERVAL, gpu: str = "") -> None:
        self.device, self.interval, self.gpu = device, interval, gpu
        self.samples: list[dict[str, float]] = []
        self.why, self.process, self.thread, self.over = "", None, None, threading.Event()

    def __enter__(self) -> "Watch":
        samples = self._of_gpu() if self.device.startswith("cuda") else self._of_cpu()
        self.thread = threading.Thread(target=self._collect, args=(samples,), daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        if self.process is not None:
            self.process.kill()
        self.thread.join(5)

    def _collect(self, samples: Iterator[dict[str, float]]) -> None:
        for sample in samples:
            if sample and len(self.samples) < MOST:
                self.samples.append(sample)

    def _of_gpu(self) -> Iterator[dict[str, float]]:
        program = shutil.which("nvidia-smi")
        if program is None:
            self.why = "no nvidia-smi"
            return iter(())
        query = [f"--query-gpu={','.join(FIELDS.values())}", "--format=csv,noheader,nounits", f"-lms={round(1000 * self.interval)}"]
        command = [program, *query, *([f"--id={self.gpu}"] if self.gpu else [])]
        try:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
        except OSError as error:
            self.why = f"nvidia-smi: {error.strerror}"
            return iter(())
        return self._read(self.process)

    def _read(self, process: subprocess.Popen) -> Iterator[dict[str, float]]:
        with process:
            for line in process.stdout:
                sample = _numbers(line)
                self.why = self.why or ("" if sample else f"nvidia-smi: {line.strip()[:200]}")
                yield sample

    def _of_cpu(self) -> Iterator[dict[str, float]]:
        try:
            import psutil
        except ModuleNotFoundError:
            self.why = "no psutil"
            return
        while not self.over.wait(self.interval):
            clock = psutil.cpu_freq()
            yield ({"core_mhz": clock.current} if clock else {}) | {"load": psutil.getloadavg()[0]}

    def summary(self) -> dict[str, Any]:
        """The least, median and largest of all that was sampled, by name, and how many samples there were."""
        found: dict[str, Any] = {"samples": len(self.samples)}
        for name in dict.fromkeys(key for sample in self.samples for key in sample):
            values = [sample[name] for sample in self.samples if name in sample]
            found[name] = [min(values), statistics.median(values), max(values)]
        return found if self.samples else found | {"why": self.why or "it ended before the first sample"}


def _numbers(line: str) -> dict[str, float]:
    """The numbers of a line of nvidia-smi; what a device does not tell ("[N/A]") is left out."""
    found, values = {}, line.split(",")
    if len(values) != len(FIELDS):
        return {}
    for name, value in zip(FIELDS, values, strict=True):
        with suppress(ValueError):
            found[name] = float(value)
    return found
