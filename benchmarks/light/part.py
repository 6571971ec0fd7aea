"""One part of first_light.py in a process of its own: `python -m light.part NAME OUT`."""

import gc
import os
import subprocess
import sys
import traceback
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from contest.watch import Watch
from light.rows import Recorder, in_words

WHERE = {  # part -> module
    "facts": "machine",
    "levels": "steps",
    "steps": "steps",
    "pack": "pack",
    "queues": "pack",
    "results": "results",
}


def tests(say: Recorder) -> None:
    """The project's tests for a GPU; in a dry run they are only collected, for they compare numbers."""
    quiet = ["-p", "no:cacheprovider", "-o", "addopts=", "-o", "filterwarnings=ignore", "-W", "ignore", "-q", "-rfE", "--tb=line"]
    files = [f"tests/gpu/{name}.py" for name in ("test_gpu", "test_gpu_levels")]
    chosen = ["--confcutdir=tests/gpu", *files, *(["--collect-only"] if say.dry else [])]
    log = say.out / "pytest.txt"
    with log.open("w") as file:
        done = subprocess.run([sys.executable, "-m", "pytest", *quiet, *chosen], stdout=file, stderr=subprocess.STDOUT, check=False)
    for line in log.read_text(encoding="utf-8").splitlines():
        if line.startswith(("FAILED", "ERROR")) or " passed" in line or " failed" in line or "No module" in line:
            say(pytest=line[:300])
    if done.returncode and say.dry and find_spec("pytest"):
        raise RuntimeError(f"pytest ended with {done.returncode}")
    say(pytest=f"ended with {done.returncode}")


def main(part: str, out: Path) -> int:
    """Run a part; 1 if it broke, or if a row of a dry run says that something failed."""
    name, _, argument = part.partition(":")
    say = Recorder(name, out)
    try:
        function = tests if name == "tests" else getattr(import_module(f"light.{WHERE[name]}"), name)
        gc.freeze()  # recording collects garbage each time: what is loaded by now is none
        with Watch("cuda") as watch:
            function(say, *filter(None, [argument]))
        say(watched=watch.summary())
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the part's result
        traceback.print_exc()
        say(failed=in_words(error))
    return int(bool(say.failed))


if __name__ == "__main__":
    status = main(sys.argv[1], Path(sys.argv[2]))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # torch 2.11's processes that compile may hang at the end, for five minutes
