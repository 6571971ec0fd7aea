"""The commands whose libraries are loaded do what Python's own do, or are Python's own."""

import os
import signal
import subprocess
import sys
import time

import loaded
import pytest

SEEN = "import os, sys; print(sys.argv, os.getcwd(), os.environ.get('WORD'), sys.dont_write_bytecode, sys.stdin.read())"
FILE = 99  # a number that is free here
SPAWNS = """
import multiprocessing
if __name__ == "__main__":
    process = multiprocessing.get_context("spawn").Process(target=print, args=("in it",))
    process.start()
    process.join()
    print(process.exitcode)
"""
HAS_TORCH = "import sys; print('torch' in sys.modules)"


def done(python, *arguments, **options) -> tuple[int, str, str]:
    environment = os.environ | {"PYTHONPATH": "", "WORD": "a b"} | options.pop("environment", {})
    found = subprocess.run([python, *arguments], env=environment, capture_output=True, text=True, check=False, **options)
    return found.returncode, found.stdout, found.stderr


@pytest.mark.parametrize(
    "code",
    [
        SEEN,
        "import sys; sys.exit(7)",
        "import sys; sys.exit('no')",
        "def fail():\n    raise ValueError('no')\n\n\nfail()",
        "import atexit; atexit.register(print, 'at the end'); print('before')",
        "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
        "import threading, time; threading.Thread(target=lambda: (time.sleep(0.1), print('late'))).start()",
        f"import os; print(os.read({FILE}, 3))",
        SPAWNS,
    ],
)
def test_a_command_does_what_it_does_in_python(tmp_path, code):
    script = tmp_path / "script.py"
    script.write_text(code)
    (tmp_path / "words").write_text("abc")
    found = []
    for python in (sys.executable, loaded.tools() / "python"):
        with (tmp_path / "words").open("rb") as words:
            os.dup2(words.fileno(), FILE)
        try:
            for start in (["-c", code], [str(script)]):
                found.append(done(python, *start, "one", "two words", cwd=tmp_path, input="asked\n", pass_fds=[FILE]))
                os.lseek(FILE, 0, os.SEEK_SET)
        finally:
            os.close(FILE)
    assert found[:2] == found[2:]


def test_the_libraries_are_loaded_unless_they_would_be_others(tmp_path):
    python, given = loaded.tools() / "python", {"cwd": tmp_path}
    assert done(python, "-c", HAS_TORCH, **given)[1] == "True\n"
    for other in ({"OMP_NUM_THREADS": "7"}, {"LC_ALL": "C"}, {"PYTHONHASHSEED": "1"}, {"MPLBACKEND": "pdf"}):
        assert done(python, "-c", HAS_TORCH, environment=other, **given)[1] == "False\n"
    (tmp_path / "yaml.py").touch()
    assert done(python, "-c", HAS_TORCH, **given)[1] == "False\n"
    assert done(python, "-c", HAS_TORCH, environment={"PYTHONPATH": str(tmp_path)})[1] == "False\n"
    assert done(python, "-m", "this")[0] == 0


def test_a_signal_reaches_the_command_and_nothing_outlives_who_asked(tmp_path):
    said, code = tmp_path / "pid", "import os, pathlib, time; pathlib.Path('pid').write_text(str(os.getpid())); time.sleep(600)"
    for number in (signal.SIGTERM, signal.SIGKILL):
        said.unlink(missing_ok=True)
        process = subprocess.Popen([loaded.tools() / "python", "-c", code], cwd=tmp_path)
        while not (said.exists() and said.read_text()):
            time.sleep(0.05)
        process.send_signal(number)
        assert process.wait() == -number
        while os.path.exists(f"/proc/{said.read_text()}"):  # noqa: PTH110 - the timeout of the tests ends this
            time.sleep(0.05)
