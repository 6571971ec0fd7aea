"""The GPU path on a stand-in for CUDA, where gcc and CUDA's headers are: captures, forbidden calls, numbers of kernels, memory."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from standin.build import Unavailable, build

HERE = Path(__file__).parent
PATHS = (HERE, HERE.parent / "support", HERE.parents[1] / "src")
GRAPH_20, COMPILED_20, GRAPH_110, COMPILED_110 = 241, 122, 1051, 572  # kernels of one step, torch 2.15; they may only fall
SCORED_20 = 632  # of 10,000 images, once
BUDGETS = json.loads((HERE / "budgets.json").read_text())  # the same at `graph` for the small members of every family and recipe
# Older ones launch more: 2.11's fused optimizer takes a second kernel where it has many tensors.
COUNTED = torch.__version__.startswith(BUDGETS["torch"])


@pytest.fixture(scope="module")
def on_standin(tmp_path_factory):
    """Run cases of cases.py there; returns their rows."""
    try:
        variables = build(tmp_path_factory.mktemp("standin"))
    except Unavailable as why:
        pytest.skip(f"the stand-in for CUDA cannot be built: {why}")

    def rows(*cases: str) -> list[dict]:
        environment = os.environ | variables | {"PYTHONPATH": os.pathsep.join(map(str, PATHS))}
        command = [sys.executable, "-W", "ignore", str(HERE / "cases.py"), *cases]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        return [json.loads(line) for line in done.stdout.splitlines()]

    return rows


@pytest.fixture(scope="module")
def found(on_standin):
    """The rows of all cases but those that compile, of one process, for it takes seconds to start. `recipes` sets a width: last."""
    return on_standin(
        "kernels:graph:20",
        "together:16",
        "crowded",
        "resumed:graph",
        "copies",
        "several:2",
        "waiting:2",
        "kernels:graph:110",
        "recipes:8",
    )


@pytest.mark.slow
def test_every_recipe_is_recorded_without_a_forbidden_call_and_in_no_more_kernels(found):
    rows = [row for row in found[5:] if row["case"].startswith("{") and "processes" not in row]
    assert len(rows) > 90
    check_recorded(rows, "graph", BUDGETS["kernels"])


def check_recorded(rows: list[dict], level: str, most: dict[str, int]) -> None:
    assert [row for row in rows if row["level"] != level or row["refused"] or row["anomalies"]] == []
    if COUNTED:
        over = {row["case"]: row["kernels"] for row in rows if row["kernels"] > most.get(row["case"], 0)}
        assert over == {}, "more kernels than tests/gpu/budgets.json allows"


@pytest.mark.slow
def test_a_step_of_several_processes_is_recorded_with_its_exchanges(found):
    """Each process has half of the batch; what torch's `fake` group exchanges are no kernels."""
    rows = [row for row in found if row.get("processes") == 2]
    assert len(rows) == 9
    check_recorded(rows[:-1], "graph", BUDGETS["of two processes"])
    assert rows[-1]["level"] == "eager"  # its network makes the host wait
    assert "synchroni" in rows[-1]["refused"]["graph"]


@pytest.mark.exhaustive
def test_a_step_of_several_processes_is_compiled(on_standin):
    check_recorded(on_standin("several:2:graph+compile"), "graph+compile", BUDGETS["of two processes, compiled"])


@pytest.mark.slow
def test_a_step_has_no_more_kernels_than_it_had(found):
    for depth, most in ((20, GRAPH_20), (110, GRAPH_110)):
        (row,) = [row for row in found if row["case"] == f"resnet{depth} graph"]
        assert row["level"] == "graph"
        assert row["kernels"] <= most or not COUNTED


@pytest.mark.slow
def test_sixteen_networks_are_recorded_side_by_side_and_keep_no_memory(found):
    row = found[1]
    assert row["levels"] == ["graph"] * 32
    assert row["at_once"] == 16
    assert row["anomalies"] == {}
    assert row["left"] <= 0


@pytest.mark.slow
def test_a_network_without_room_beside_others_is_recorded_when_there_is_room(found):
    row = found[2]
    assert row["levels"] == ["graph"] * 8
    assert row["started"] > 8
    assert row["anomalies"] == {}
    assert row["left"] <= 0


@pytest.mark.slow
def test_a_stopped_run_is_recorded_again_from_its_checkpoint(found):
    row = found[3]
    assert row["level"] == "graph"
    assert row["turns"][0] == 2  # steps, of six; then the other four, and the batches that are scored
    assert row["anomalies"] == {}


@pytest.mark.slow
def test_networks_share_one_copy_of_a_split_and_score_it_in_few_kernels(found):
    row = found[4]
    first, second = row["bytes"]
    assert first > row["images"] > 100 * second
    assert row["kernels"] <= SCORED_20


@pytest.mark.slow
@pytest.mark.parametrize(("depth", "most"), [(20, COMPILED_20), pytest.param(110, COMPILED_110, marks=pytest.mark.exhaustive)])
def test_a_compiled_step_has_no_more_kernels_than_it_had(on_standin, depth, most):
    (row,) = on_standin(f"kernels:graph+compile:{depth}")
    assert row["level"] == "graph+compile"
    assert row["kernels"] <= most or not COUNTED
