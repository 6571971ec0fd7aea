"""cluster.yaml: where a study's networks are trained and what each may take there. No part of params.yaml: it changes no result."""

import math
import os
import shlex
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
from pydantic import Field

from reslab.config.schema import STRICT, Count, check
from reslab.config.yaml import read_yaml
from reslab.cost.links import LINKS
from reslab.environment import MOST, project_root
from reslab.errors import UserError, located

FILE = Path("cluster.yaml")
WARNING_SECONDS = 90  # before the end of a job's time: submitit asks Slurm for the signal
Word = Annotated[str, Field(pattern=r"^[\w.,:@+/-]{1,200}$")]  # a line break would end the line of sbatch's script that it is in


class Cluster(pydantic.BaseModel):
    """The engine that trains, and what it gives a network."""

    model_config = STRICT

    engine: Literal["local", "slurm"] = "local"
    at_once: Count | None = None  # networks; by default as many as the machine or the cluster has room for
    processes: Annotated[int, Field(ge=1, le=MOST)] = 1  # that train a network together
    machine: str | None = None  # of machines/, for estimates
    link: Literal[*LINKS] = "loopback"  # what connects a network's processes, for estimates
    price: Annotated[float, Field(ge=0, le=1e9)] = 0.0  # of an hour of one process's GPU or cores
    currency: Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f-\x9f]{0,10}$")] = ""
    # What Slurm is asked for
    partition: Word | None = None
    account: Word | None = None
    hours: Annotated[float, Field(gt=0, le=87_600)] = 24.0  # later the network is stopped, saved and queued again
    networks_per_job: Annotated[int, Field(ge=1, le=16)] = 1  # together on one GPU, in one process (shared_gpu.MOST)
    gpus: Annotated[int, Field(ge=0, le=1000)] = 0  # of each process
    cpus: Count = 1  # of each process
    memory_gb: Annotated[float, Field(gt=0, le=1e6)] | None = None  # of each process
    setup: list[str] = Field(default_factory=list)  # shell lines before it starts, such as `module load cuda`

    @property
    def together(self) -> int:
        """The most networks of a job of Slurm, which all train at once."""
        return min(self.networks_per_job, self.at_once or self.networks_per_job)


def read(path: Path) -> Cluster:
    """The file's settings, or the defaults where there is none; raises UserError with the path."""
    if not path.exists():
        if path != FILE:
            raise UserError(f"{path}: no such file")
        return Cluster()
    with located(path):
        chosen = check(Cluster, read_yaml(path) or {}, "cluster")
        if chosen.networks_per_job > 1 and chosen.processes > 1:
            raise UserError("cluster.networks_per_job: these networks share one process; give processes: 1")
    return chosen


def asked(cluster: Cluster) -> dict[str, Any]:
    """What Slurm is asked for, in sbatch's words: a job has what `processes` need together."""
    wanted: dict[str, Any] = {
        "time": max(1, math.ceil(cluster.hours * 60)),
        "nodes": 1,
        "ntasks_per_node": 1,
        "cpus_per_task": cluster.cpus * cluster.processes,
        "signal_delay_s": WARNING_SECONDS,
        "additional_parameters": {"requeue": True, "open_mode": "append"},
        "setup": [f"export PYTHONPATH={shlex.quote(python_path())}", *cluster.setup],
    }
    if cluster.gpus:
        wanted["gres"] = f"gpu:{cluster.gpus * cluster.processes}"
    if cluster.memory_gb:
        wanted["mem"] = f"{math.ceil(cluster.memory_gb * 1024 * cluster.processes)}M"
    return wanted | {key: value for key in ("partition", "account") if (value := getattr(cluster, key)) is not None}


def python_path() -> str:
    """Where the job finds this code: the project's own, and what this process was told."""
    return os.pathsep.join(part for part in (str(project_root() / "src"), os.environ.get("PYTHONPATH", "")) if part)
