"""Levels: the fastest level that works and pays, the reasons against the others, and nothing left behind by the attempts."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from small_runs import run
from whole_runs import fit

from reslab.errors import UserError
from reslab.runs.ranks import ALONE, Ranks
from reslab.training.execution import levels
from reslab.training.step import Forms

SHORT, LONG = levels.RunSize(10**6, 7, 10**3, 10), levels.RunSize(40_000_000, 19, 8_000_000, 62_500)
NO_GPU = {"graph+compile": "no GPU", "graph": "no GPU"}
GROUP = Path(__file__).parents[1] / "support" / "level_group.py"
needs_compiler = pytest.mark.skipif(not shutil.which("g++"), reason="needs g++")


@pytest.fixture(autouse=True)
def no_wish(monkeypatch, tmp_path):
    monkeypatch.delenv("RESLAB_ENGINE", raising=False)


def losses(made, step, launch) -> list[float]:
    return [record.loss for record in fit(step, made.schedule, made.budget, launch=launch)]


@needs_compiler
def test_a_short_run_is_not_compiled_and_says_what_it_would_take():
    _, level = levels.choose_level(run().step(), SHORT)
    assert level == levels.ExecutionLevel("eager", NO_GPU | {"compile": "compiling takes about 21 s, and would save about 0 s"})


@needs_compiler
def test_a_long_run_is_compiled_and_trains_as_the_plain_one():
    plain, made = run(), run()
    step = made.step()
    launch, level = levels.choose_level(step, LONG)
    assert level == levels.ExecutionLevel("compile", NO_GPU)
    assert step.forms.network.size == 16
    assert losses(made, step, launch) == pytest.approx(losses(plain, plain.step(), None), rel=1e-4)


def test_what_fails_leaves_a_slower_level_and_no_trace(monkeypatch):
    def refuse(*arguments, **options):
        raise RuntimeError("the compiler crashed\nwith much to say")

    monkeypatch.setattr(torch, "compile", refuse)
    monkeypatch.setenv("RESLAB_ENGINE", "compile")
    plain, made = run(), run()
    step = made.step()
    launch, level = levels.choose_level(step, SHORT)
    assert level == levels.ExecutionLevel("eager", {"compile": "the compiler crashed"})
    assert step.forms.network is None
    assert losses(made, step, launch) == losses(plain, plain.step(), None)


def test_a_compiled_form_that_computes_something_else_is_not_used(monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda model, **options: lambda images: 2 * model(images))
    monkeypatch.setenv("RESLAB_ENGINE", "compile")
    _, level = levels.choose_level(run().step(), SHORT)
    assert level.level == "eager"
    assert "does not do what the plain step does" in level.refused["compile"]


def test_without_a_compiler_nothing_is_compiled(monkeypatch):
    monkeypatch.setenv("PATH", "")
    _, level = levels.choose_level(run().step(), LONG)
    assert level.refused["compile"] == "no C++ compiler (g++) on this machine"


def test_blocks_that_are_computed_again_are_not_compiled(monkeypatch):
    monkeypatch.setenv("RESLAB_ENGINE", "compile")
    _, level = levels.choose_level(run(train={"recompute": True}).step(), SHORT)
    assert level == levels.ExecutionLevel("eager", {"compile": "blocks that are computed again are not compiled"})


def test_another_level_is_refused(monkeypatch):
    monkeypatch.setenv("RESLAB_ENGINE", "fast")
    with pytest.raises(UserError, match=r"RESLAB_ENGINE=fast is not allowed; allowed: graph\+compile, graph, compile, eager"):
        levels.choose_level(run().step(), SHORT)


@needs_compiler
@pytest.mark.slow
def test_processes_of_one_network_agree_on_a_level(tmp_path):
    """Also where one of them has no compiler, or one that fails while the other would wait for its numbers."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, str(GROUP), str(tmp_path)], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    missing, broken, there = [json.loads(line) for line in done.stdout.splitlines()]
    for first, second in (missing, broken):
        assert first["level"] == second["level"] == "eager"
        assert first["refused"] == {"compile": "it does not work in another of the processes"}
    assert missing[1]["refused"] == {"compile": "no C++ compiler (g++) on this machine"}
    assert "No working C++ compiler" in broken[1]["refused"]["compile"]
    assert [each["level"] for each in there] == ["compile", "compile"]
    assert there[0]["sums"] == pytest.approx(missing[0]["sums"], rel=1e-5)


def test_a_smaller_batch_is_compiled_in_no_process_of_a_network():
    """Of 12 images after 13, two processes have 6 each: as many as before in the first one, fewer in the second."""
    network, found = object(), []
    for ranks in (Ranks(0, 2), Ranks(1, 2), ALONE):
        step = run(train={"batch_size": 13}, ranks=ranks).step()
        step.forms = Forms(network)
        found.append([step._forms(size).network is network for size in (13, 12)])
    assert found == [[True, False], [True, False], [True, True]]
