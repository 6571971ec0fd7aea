"""Build the stand-in for the torch of this Python, and the environment in which programs run on it.

The sources hold what matters; the several hundred empty functions that torch's libraries also need are made from those libraries.
"""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
LIBRARIES = {  # ours -> (torch's, whose functions they are: the first pattern that fits a name)
    "cudart": ("libcudart", r"(__)?cuda[A-Z]\w*"),
    "cublaslt": ("libcublasLt", r"cublasLt[A-Z]\w*"),
    "cublas": ("libcublas", r"cublas[A-Z]\w*"),
    "cudnn": ("libcudnn", r"cudnn[A-Z]\w*"),
    "cuda": ("libcuda", r"cu[A-Z]\w*"),
}
OTHERS = r"cu(BLAS|DNN|FFT|RAND|SPARSE|SOLVER)"  # never the driver's
SCANNED = ("torch/lib/*.so*", "torchvision/*.so*", "nvidia/*/lib/libcu[sf][opf]*.so*")
QUIET = r"cu(blas|dnn)(Get|Set|Create|Destroy|Logger|Restore|BuildRNN)"  # computes nothing
HEADERS = "#include <cuda_runtime_api.h>\n#include <cuda.h>\n#include <cudnn.h>\n"
EXPORTED = "{ global: cu*; __cuda*; standin_*; local: *; };\n"
FLAGS = ["-O1", "-fPIC", "-w"]


class Unavailable(Exception):
    """The stand-in cannot be built here, and why."""


def build(out: Path) -> dict[str, str]:
    """Build it in the folder `out`; return the variables of a program that is to run on it. Raises Unavailable."""
    for tool in ("gcc", "g++", "nm", "readelf"):
        if shutil.which(tool) is None:
            raise Unavailable(f"there is no {tool}")
    site = Path(importlib.util.find_spec("torch").origin).parent.parent
    if not (site / "torch/lib/libtorch_cuda.so").exists():
        raise Unavailable("this torch is not built for CUDA")
    out.mkdir(parents=True, exist_ok=True)
    includes = [f"-I{folder}" for folder in _include_folders(site)]
    driver_header = _driver_header(includes, out)
    for name in LIBRARIES:
        source = HERE / (f"{name}.cpp" if name == "cudart" else f"{name}.c")
        _run("g++" if name == "cudart" else "gcc", *FLAGS, *includes, "-c", str(source), "-o", str(out / f"{name}.o"))
    needed = _needed(site, driver_header)
    libraries = [_linked(name, needed, site, out) for name in LIBRARIES]
    (out / "libcuda.so").unlink(missing_ok=True)
    (out / "libcuda.so").symlink_to("libcuda.so.1")
    return _environment(out, libraries)


def _environment(out: Path, libraries: list[str]) -> dict[str, str]:
    """Compilers' caches are apart from the real ones: what was chosen on the stand-in is of no use to a GPU."""
    return {
        "LD_PRELOAD": " ".join(str(out / library) for library in libraries),
        "LD_LIBRARY_PATH": os.pathsep.join(filter(None, [str(out), os.environ.get("LD_LIBRARY_PATH")])),
        "TRITON_LIBCUDA_PATH": str(out),
        "XDG_CACHE_HOME": str(out / "cache"),
        "TORCHINDUCTOR_CACHE_DIR": str(out / "cache" / "inductor"),
        "TRITON_CACHE_DIR": str(out / "cache" / "triton"),
        "TORCHINDUCTOR_COMPILE_THREADS": "1",
        "DISABLE_LLVM_OPT": "1",  # of Triton: kernels that do nothing need not be fast
    }


def _include_folders(site: Path) -> list[Path]:
    found = [*site.glob("nvidia/cu[0-9]*/include"), site / "nvidia/cuda_runtime/include", site / "nvidia/cudnn/include"]
    return [folder for folder in [*found, site / "triton/backends/nvidia/include"] if folder.is_dir()]


def _driver_header(includes: list[str], out: Path) -> Path:
    """Where cuda.h is."""
    (out / "headers.c").write_text(HEADERS)
    found = subprocess.run(["gcc", "-M", *includes, str(out / "headers.c")], capture_output=True, text=True, check=False)
    if found.returncode:
        raise Unavailable(f"a header of CUDA is not installed ({found.stderr.strip().splitlines()[0][-80:]})")
    return Path(next(word for word in found.stdout.split() if word.endswith("/cuda.h")))


def _needed(site: Path, header: Path) -> set[str]:
    """The functions that the installed libraries need or the driver's header names."""
    names = set(re.findall(r"\bcu[A-Z]\w+", header.read_text()))
    for pattern in SCANNED:
        for path in site.glob(pattern):
            names |= _names(path, "-D", "--undefined-only")
    return names


def _names(path: Path, *options: str) -> set[str]:
    """Names of a library or an object, without their versions."""
    return {line.split()[-1].split("@")[0] for line in _run("nm", *options, str(path)).splitlines() if line.strip()}


def _linked(name: str, needed: set[str], site: Path, out: Path) -> str:
    """Link a library out of its sources and empty functions; return its file's name."""
    mine = {function for function in needed if _owner(function) == name} - _names(out / f"{name}.o", "--defined-only")
    head = ["#include <stdlib.h>", "extern void standin_work(const char *, void *);", "extern int standin_stub(const char *);"]
    (out / f"stubs_{name}.c").write_text("\n".join(head + [_stub(function, name) for function in sorted(mine)]) + "\n")
    (out / "exported").write_text(EXPORTED)
    runtime, soname = _soname(site, "cudart"), _soname(site, name)
    needs = ["-lstdc++", "-ldl", "-lpthread"] if name == "cudart" else [f"-L{out}", f"-l:{runtime}"]
    _run("gcc", *FLAGS, "-c", str(out / f"stubs_{name}.c"), "-o", str(out / f"stubs_{name}.o"))
    objects, script = [str(out / f"{name}.o"), str(out / f"stubs_{name}.o")], f"-Wl,--version-script={out / 'exported'}"
    _run("gcc", "-shared", f"-Wl,-soname,{soname}", script, "-o", str(out / soname), *objects, "-Wl,--no-as-needed", *needs)
    return soname


def _soname(site: Path, name: str) -> str:
    """The name of the library that torch was linked with."""
    if name == "cuda":
        return "libcuda.so.1"
    linked = _run("readelf", "-d", str(site / "torch/lib/libtorch_cuda.so"))
    found = re.search(rf"{LIBRARIES[name][0]}\.so\.\d+", linked)
    if found is None:
        raise Unavailable(f"torch was not linked with {LIBRARIES[name][0]}")
    return found[0]


def _stub(function: str, library: str) -> str:
    """An empty function, or one that is booked as work of its handle's stream: a handle begins with its stream."""
    if library == "cudnn" and re.fullmatch(r"cudnnCreate\w*Descriptor", function):
        return f"int {function}(void **made) {{ return *made = calloc(1, 512), 0; }}"
    if library in ("cublas", "cudnn") and not re.match(QUIET, function):
        return f'int {function}(void **handle) {{ return standin_work("{function}", *handle), 0; }}'
    return f'int {function}() {{ return standin_stub("{function}"); }}'


def _owner(function: str) -> str | None:
    """The library that a function belongs to."""
    if re.match(OTHERS, function):
        return None
    return next((name for name, (_, pattern) in LIBRARIES.items() if re.fullmatch(pattern, function)), None)


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unavailable(f"{command[0]} failed: {done.stderr.strip()[-200:]}")
    return done.stdout


if __name__ == "__main__":  # build.py FOLDER PROGRAM ARGUMENTS...: run a Python program on the stand-in
    variables = build(Path(sys.argv[1]).resolve())
    os.execve(sys.executable, [sys.executable, *sys.argv[2:]], os.environ | variables)
