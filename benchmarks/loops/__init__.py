"""The training loops that are compared, by name; each takes a Job and is a Loop."""

from importlib import import_module

from loops.job import Job, Loop

# name -> where it is and what the report calls it. Imported when built: a process pays for its own loop only.
LOOPS = {
    "ours": ("ours", "Engine", "reslab's engine"),
    "conventional": ("conventional", "Conventional", "DataLoader, PIL, eager float32 NCHW, .item() each step"),
    "tuned": ("tuned", "Tuned", "the same with all cores, pinning, persistent workers, channels_last, AMP, compile"),
    "tuned-reduce-overhead": ("tuned", "GraphedTuned", 'tuned, compiled with mode="reduce-overhead" (CUDA graphs of torch\'s own)'),
    "speedrun": ("speedrun", "SpeedRun", "resident data, crops and flips once an epoch on the device, no sync, eager"),
    "speedrun-compiled": ("speedrun", "CompiledSpeedRun", "the same, compiled"),
    "speedrun-reduce-overhead": ("speedrun", "GraphedSpeedRun", 'the same, compiled with mode="reduce-overhead"'),
}


def build(loop: str, job: Job) -> Loop:
    """Set a loop up in this process."""
    module, name, _ = LOOPS[loop]
    return getattr(import_module(f"loops.{module}"), name)(job)
