"""benchmarks/engine.py: run for real with tiny settings; its loops see the same data; its statistics say what they should."""

import json
import re
from dataclasses import replace

import pytest
from commands import script_here
from project import call, clone

from contest import compare, presets
from contest.entrant import Segment
from contest.guard import judge, trained_error
from contest.plan import Case
from contest.roofline import needs, reached
from contest.rounds import contest, rotated
from contest.workspace import Workspace
from loops import LOOPS
from loops.job import Job, LevelRefused
from loops.peer import Peer, Script
from reslab.data import prepared
from reslab.errors import UserError

PEER = """\
import sys, time
for epoch in range(int(sys.argv[1])):
    time.sleep(0.05)
    print(f"epoch {epoch} done in {0.25 + epoch:.2f} s")
"""
COMMAND = ["python", "benchmarks/engine.py"]


def engine(repository, *arguments):
    """The benchmark's command in this process."""
    return script_here(repository, repository / "benchmarks" / "engine.py", *arguments)


@pytest.fixture
def peer(tmp_path):
    path = tmp_path / "train_peer.py"
    path.write_text(PEER)
    return path


def check_networks_at_once_and_race(results):
    """What the quick preset found of several networks, and of the time to an accuracy."""
    packed = results["packings"]["packed"]["summary"]
    assert list(packed) == ["conventional, in turn", "ours x 2", "conventional, 2 processes"]
    assert 0.2 < packed["ours x 2"]["over_reference_cpu"]["ratio"] < 5
    raced = results["races"]["race"]["summary"]
    assert list(raced) == ["ours-eager", "tuned"]
    assert raced["tuned"]["reached"] == "1 of 1"
    assert all(found["samples"] for found in results["watched"].values())


@pytest.mark.slow
def test_quick_measures_every_loop_side_by_side(repository, tmp_path, monkeypatch, peer):
    monkeypatch.setenv("RESLAB_DEVICE", "cpu")
    output = tmp_path / "results"
    script = ["--peer", str(peer), "--peer-args", "3", "--peer-epoch", r"done in ([\d.]+) s", "--peer-images", "100"]
    done = call(repository, *COMMAND, "--preset", "quick", "--output", str(output), *script)
    results = json.loads((output / "results.json").read_text())
    case = results["cases"]["resnet8"]
    assert case["failed"] == {}
    rows = case["summary"]
    assert list(rows) == ["ours-eager", "ours-eager again", "conventional", "tuned", "speedrun", "peer"]
    assert rows["peer"]["images_per_second"] == pytest.approx(200 / (1.25 + 2.25))
    for name, row in rows.items():
        ratio = row["ours_over_this_wall"]
        assert 0 < ratio["low"] <= ratio["ratio"] <= ratio["high"], name
        assert 0 < row["slowest"] <= row["images_per_second"] <= row["fastest"], name
        assert name == "peer" or (row["first_epoch_seconds"] > 0 and row["peak_bytes"] > 2**20), name
    assert {len(segments) for segments in case["segments"].values()} == {6}
    assert {segment["images"] // segment["epochs"] for segment in case["segments"]["tuned"]} == {96}
    assert set(results["sweeps"]) == {"images"}
    check_networks_at_once_and_race(results)
    guarded = results["guard"]["guard"]["float32"]
    assert set(guarded) == {"ours-eager", "conventional", "tuned", "speedrun"}
    assert all(entry["error"] < 0.5 for entry in guarded.values()), guarded
    assert guarded["ours-eager"]["repeats"]
    assert results["machine"]["threads"] == 1
    report = (output / "report.md").read_text()
    assert report.strip() in done.stdout
    assert re.search(r"\| ours-eager again +\|", report)
    for name in ("roofline.svg", "scaling.svg"):
        assert "<svg" in (output / name).read_text()
    assert len((output / "loops.csv").read_text().splitlines()) == 7
    assert len((output / "scaling.csv").read_text().splitlines()) == 3


def test_plan_says_what_is_measured_and_measures_nothing(repository, tmp_path):
    said = engine(repository, "--preset", "cpu", "--plan", "--output", str(tmp_path / "none")).stdout
    for word in (
        "resnet depth 20, batch 128, float32, 1,024 images",
        "packing packed: resnet depth 20, float32; 1, 2 of ours at once; tuned, speedrun-compiled in turn, and 2 processes of each",
        "race race: resnet depth 20, float32, 1,437 images, 15 epochs, 3 seeds",
        "speedrun-compiled",
        "guard: resnet depth 8",
    ):
        assert word in said
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--preset", "h100"], "--preset: unknown name 'h100' (did you mean 'h200'?)"),
        (["--levels", "eagre"], "--levels: unknown name 'eagre' (did you mean 'eager'?)"),
        (["--preset", "h200"], "--preset h200: no GPU here"),
        (["--loops", "ours"], "--loops: unknown name 'ours'"),
        (["--only", "resnet9"], "--only resnet9: not in this preset; allowed: packed, resnet8, race, images, guard"),
        (["--peer", "missing.py"], "--peer missing.py: no such file"),
        (["--experiment", "resnet020"], "experiments: unknown name 'resnet020'"),
    ],
)
def test_mistakes_on_the_command_line(repository, monkeypatch, arguments, message):
    monkeypatch.setenv("RESLAB_DEVICE", "cpu")
    done = engine(repository, *arguments)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {message}"), done.stderr


def test_an_experiment_of_a_study_takes_the_case_s_place(repository):
    said = engine(repository, "--experiment", "resnet110-nobn", "--plan").stdout
    assert "case resnet110-nobn: tau_resnet depth 110 norm none tau 1.0, batch 64" in said


@pytest.mark.pipeline
def test_the_pipeline_s_own_repro_does_not_benchmark(tmp_path):
    folder = clone(tmp_path / "reslab")
    assert "engine.py" not in call(folder, "dvc", "repro", "--dry", "--force").stdout
    assert "engine.py --preset cpu" in call(folder, "dvc", "repro", "--dry", "--force", "benchmarks/dvc.yaml").stdout
    assert call(folder, "dvc", "status", "--quiet", "benchmarks/dvc.yaml").returncode == 0  # in every clone


def test_the_guard_marks_a_loop_that_learns_worse(tmp_path):
    errors = {"ours": 0.02, "conventional": 0.025, "speedrun": 0.21}
    verdicts = judge(errors, tests=1080)
    assert [verdict["kept"] for verdict in verdicts.values()] == [True, True, False]
    assert verdicts["ours"]["bound"] == pytest.approx(3 * (2 * 0.025 * 0.975 / 1080) ** 0.5)
    guard = presets.quick("cpu").guard
    digits = Job(guard.sections, Workspace(tmp_path).digits(), "cpu", workers=0, level="eager")
    lazy = replace(digits, sections=guard.sections | {"optimizer": {"name": "sgd", "lr": 0.0}})
    found = {"trained": trained_error("ours", digits, 3), "again": trained_error("speedrun", digits, 3)}
    found["lazy"] = trained_error("speedrun", lazy, 3)
    assert [verdict["kept"] for verdict in judge(found, tests=360).values()] == [True, True, False]


def test_ratios_are_of_the_same_round():
    busy, calm = [100.0, 50.0, 100.0, 20.0, 100.0, 10.0], [50.0, 25.0, 50.0, 10.0, 50.0, 5.0]
    assert compare.ratio(busy, calm) == {"ratio": 2.0, "low": 2.0, "high": 2.0}
    noisy = compare.ratio([100.0, 110.0, 90.0, 105.0, 95.0, 100.0], [100.0] * 6)
    assert noisy["low"] < 1.0 < noisy["high"]
    assert compare.ratio([1.0] * 5, [1.0] * 5)["low"] is None


class Failing:
    """An entrant whose segment number `at` fails."""

    def __init__(self, name, at):
        self.name, self.left, self.closed = name, at, False

    def start(self):
        return {"build_seconds": 0.0, "first_epoch_seconds": None}

    def segment(self, epochs):
        self.left -= 1
        if self.left < 0:
            raise RuntimeError("out of\nmemory")
        return Segment(epochs, 100 * epochs, 1.0, 1.0, 0.0, 0.1, 0.1, 0.5, 1)

    def close(self):
        self.closed = True


def test_a_failing_loop_loses_only_its_own_numbers():
    entrants = [Failing("well", 9), Failing("ill", 1)]
    found = contest(entrants, rounds=3, seconds=1.0, say=lambda text: None)
    assert len(found["well"]["segments"]) == 3
    assert found["ill"]["failed"] == "RuntimeError: out of memory"
    assert all(entrant.closed for entrant in entrants)
    assert list(compare.summarize(found, reference="well", tests=10)) == ["well"]
    assert [entrant.name for entrant in rotated(entrants, 3)] == ["ill", "well"]


def test_peer_by_its_own_seconds_or_by_ours(peer, tmp_path):
    timed = Peer(Script(peer, "3", r"done in ([\d.]+) s", 10)).segment(1)
    assert (timed.epochs, timed.images, timed.seconds) == (2, 20, 3.5)
    assert 0 < timed.cpu_seconds < 5
    watched = Peer(Script(peer, "3", r"^epoch \d", 10)).segment(1)
    assert 0.1 <= watched.seconds < 3
    with pytest.raises(UserError, match=r"was found 1 time\(s\), two epochs are needed"):
        Peer(Script(peer, "1", "epoch", 10)).segment(1)
    with pytest.raises(UserError, match="ended with status 1; its last line: IndexError"):
        Peer(Script(peer, "", "epoch", 10)).segment(1)
    with pytest.raises(UserError, match="not a regular expression"):
        Script(peer, "", "(", 10).check()


def test_needs_of_resnet20_are_those_worked_out_by_hand():
    sections = Case("x", {"train": {"precision": "bfloat16"}}, 1, 1).sections
    need = needs(sections, {"image_shape": [3, 32, 32], "class_names": list("0123456789")})
    outputs = 7 * 16 * 32 * 32 + 6 * 32 * 16 * 16 + 6 * 64 * 8 * 8
    assert need.bytes == 17 * 2 * outputs
    assert need.flops == pytest.approx(6 * 40.55e6, rel=0.01)
    assert reached(2.0, need)["flops"] == 2 * need.flops


def test_data_from_a_prepared_folder(tmp_path, small_images):
    prepared.save(small_images, tmp_path / "given", name="small", validation=0)
    workspace = Workspace(tmp_path / "work", tmp_path / "given")
    assert len(prepared.load(workspace.subset(20, 4)).train) == 20
    with pytest.raises(UserError, match="holds 40 and 12 images, 50 and 4 are wanted"):
        workspace.subset(50, 4)


def test_presets_name_only_loops_that_exist():
    for preset in presets.PRESETS.values():
        plan = preset("cpu")
        parts = [*plan.cases, *plan.races, *(packing.case for packing in plan.packings)]
        assert {loop for case in parts for loop, _ in plan.loops_of(case).values()} <= set(LOOPS)
        assert plan.rounds >= compare.LEAST_ROUNDS
        for sweep in plan.sweeps:
            assert all(case.sections for case in sweep.points.values())


class Refused(Failing):
    """An entrant whose level is refused when it is built."""

    def start(self):
        raise LevelRefused("level graph: no GPU")


def test_a_level_that_is_refused_loses_its_row_only():
    found = contest([Refused("ours-graph", 9), Failing("well", 9)], rounds=1, seconds=1.0, say=lambda text: None)
    assert found["ours-graph"]["failed"] == "refused: level graph: no GPU"
    assert len(found["well"]["segments"]) == 1


def test_less_cpu_time_than_the_clock_shows_is_no_division_by_zero():
    assert compare.per_cpu_second({"images": 128, "cpu_seconds": 0.0}) == 12_800
