"""cluster.yaml: where a study's networks are trained and what each may take there. No part of params.yaml: it changes no result."""

from pathlib import Path
from typing import Annotated, Literal

import pydantic
from pydantic import Field

from reslab.config.schema import STRICT, Count, check
from reslab.config.yaml import read_yaml
from reslab.cost.links import LINKS
from reslab.environment import MOST
from reslab.errors import UserError, located

FILE = Path("cluster.yaml")
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
