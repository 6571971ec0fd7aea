"""A real Slurm on this machine: its controller and one node, where root has it installed."""

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

PROGRAMS = ("slurmctld", "slurmd", "sbatch", "squeue", "munged")
CONFIGURATION = """\
ClusterName=local
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmdPort={node_port}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SlurmctldPidFile={folder}/controller.pid
SlurmdPidFile={folder}/node.pid
SlurmdSpoolDir={folder}/spool
StateSaveLocation={folder}/state
SlurmUser=root
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=requeue_delay=1,batch_sched_delay=1,sched_interval=5
SlurmctldLogFile={folder}/controller.log
SlurmdLogFile={folder}/node.log
ReturnToService=2
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=1000 Gres=gpu:2 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def free_port() -> int:
    with socket.socket() as tried:
        tried.bind(("127.0.0.1", 0))
        return tried.getsockname()[1]


def skip_without() -> None:
    """Skip the test where there is no Slurm, or no right to start it."""
    if missing := [name for name in PROGRAMS if shutil.which(name) is None]:
        pytest.skip(f"no {missing[0]} on this machine (Debian: apt-get install slurm-wlm munge)")
    if os.geteuid() != 0:
        pytest.skip("only root can start Slurm's controller and node")


def start(folder: Path, settings: str = "") -> dict[str, str]:
    """Start munge, a controller and a node, with further lines of slurm.conf; returns the environment of their users."""
    for name in ("spool", "state"):
        (folder / name).mkdir()
    text = CONFIGURATION.format(folder=folder, host=host_name(), port=free_port(), node_port=free_port())
    (folder / "slurm.conf").write_text(text + settings)
    for number in range(2):  # Slurm only keeps count of them
        (folder / f"gpu{number}").touch()
    (folder / "gres.conf").write_text(f"Name=gpu File={folder}/gpu[0-1]\n")
    start_munge(folder)
    environment = {"SLURM_CONF": str(folder / "slurm.conf")}
    for name in ("slurmctld", "slurmd"):
        start_daemon(name, environment)
    wait_for_node(folder, environment)
    return environment


def start_daemon(name: str, environment: dict[str, str]) -> None:
    """Start the controller (slurmctld) or the node (slurmd)."""
    subprocess.run([name], env=os.environ | environment, check=True, stderr=subprocess.DEVNULL, timeout=60)


def wait_for_node(folder: Path, environment: dict[str, str]) -> None:
    """Wait until the node takes jobs."""
    for _ in range(300):
        if ask(environment, "sinfo", "-h", "-o", "%T", check=False).strip() in ("idle", "mixed", "allocated"):
            return
        time.sleep(0.1)
    stop(folder)
    raise AssertionError((folder / "controller.log").read_text()[-2000:])


def ask(environment: dict[str, str], *command: str, check: bool = True) -> str:
    """What a command of Slurm prints."""
    run = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=check, timeout=60)
    return run.stdout


def lose_node(folder: Path, environment: dict[str, str]) -> None:
    """Let the node go down with all that runs on it, as by a power failure, and let the controller know."""
    node = psutil.Process(int((folder / "node.pid").read_text()))
    kill_jobs(folder, node)
    node.wait(60)
    ask(environment, "scontrol", "update", f"NodeName={host_name()}", "State=DOWN", "Reason=test")


def kill_jobs(folder: Path, *others: psutil.Process) -> None:
    """Kill what the node has for its jobs, with the jobs, which would live on."""
    steps = steps_of(folder)
    jobs = [part for step in steps for part in step.children(recursive=True)]
    for process in (*others, *steps, *jobs):
        with suppress(psutil.NoSuchProcess):
            process.kill()


def steps_of(folder: Path) -> list[psutil.Process]:
    """What a node of the cluster in this folder, and not of another test's, has for its jobs."""
    return [process for process in psutil.process_iter(["name"]) if process.info["name"] == "slurmstepd" and is_of(process, folder)]


def is_of(process: psutil.Process, folder: Path) -> bool:
    """Whether a process has a file of the folder open, such as its log."""
    with suppress(psutil.Error):
        return any(Path(file.path).parent == folder for file in process.open_files())
    return False


def bring_node_back(folder: Path, environment: dict[str, str]) -> None:
    """Start the node again."""
    start_daemon("slurmd", environment)
    wait_for_node(folder, environment)


def wait(happened: Callable[[], bool]) -> None:
    """Wait for something; the test's time limit ends it."""
    while not happened():
        time.sleep(0.1)


def start_now(job: str, environment: dict[str, str]) -> None:
    """Spare a job that is queued again the two minutes that Slurm waits by itself."""
    for _ in range(100):  # it is refused until the job has ended, and later there is nothing to hurry
        command = ["scontrol", "update", f"JobId={job}", "StartTime=now"]
        if not subprocess.run(command, env=os.environ | environment, stderr=subprocess.DEVNULL, check=False).returncode:
            break
        time.sleep(0.2)


def halt(folder: Path) -> psutil.Process:
    """Wait until the network of a folder trains in a job, and halt its process, so that there is time to do something to it."""
    while doing(folder) != "training":
        assert doing(folder) in ("", "preparing"), (folder / "log.txt").read_text()
        time.sleep(0.02)
    for process in psutil.process_iter(["cmdline"]):
        if str(folder / "work.json") in (process.info["cmdline"] or []):
            process.suspend()
            return process
    raise AssertionError(f"no process trains {folder}")


def doing(folder: Path) -> str:
    """What a network's progress says."""
    progress = folder / "progress.json"
    return json.loads(progress.read_text())["doing"] if progress.exists() else ""


def host_name() -> str:
    return socket.gethostname().split(".")[0]


def start_munge(folder: Path) -> None:
    """Start a munge of this cluster's own: the machine's may have been killed and have left its socket, at which all would wait."""
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o600)
    files = {"key-file": key, "socket": folder / "munge.socket", "pid-file": folder / "munge.pid"}
    files |= {"seed-file": folder / "munge.seed", "log-file": folder / "munge.log"}
    subprocess.run(["munged", "--force", *(f"--{name}={path}" for name, path in files.items())], check=True, timeout=60)


def stop(folder: Path) -> None:
    """End what runs, the node, the controller and munge: a job's process would look for a controller that is gone for hours."""
    kill_jobs(folder)
    for name in ("node", "controller", "munge"):
        pid = folder / f"{name}.pid"
        if pid.exists():
            with suppress(ProcessLookupError):
                os.kill(int(pid.read_text()), 15)
