"""What connects the processes that train one network together, or the machines that they are on."""

from typing import NamedTuple


class Link(NamedTuple):
    """What connects the processes."""

    latency: float  # seconds of a small message
    bandwidth: float  # bytes a second that a process sends, while it receives as many
    source: str


class Wiring(NamedTuple):
    """How processes are connected: all by one link, or those of a machine by it and the machines by a slower one."""

    link: Link
    per_machine: int | None = None
    between: Link | None = None  # machines


LINKS = {
    "loopback": Link(
        1.3e-4, 1e9, "gloo between two processes of an AMD EPYC; `python benchmarks/scale.py` measures this machine's"
    ),
    "nvlink": Link(5e-6, 450e9, "data sheet of the NVIDIA H200: 900 GB/s both ways; latency assumed; NOT measured"),
    "infiniband-400": Link(1e-5, 50e9, "400 Gbit/s, one adapter a GPU; latency assumed; NOT measured"),
    "ethernet-25": Link(5e-5, 3.1e9, "25 Gbit/s, shared by nobody; latency assumed; NOT measured"),
}
