"""Progress: few lines where there is no terminal, bars where there is one, the last epoch's numbers and the time left."""

import io

import pytest
from rich.console import Console

from reslab.runs import progress
from reslab.runs.reports import Began, EpochEnded, Report

ROW = {"epoch": 3, "lr": 0.0123, "train_loss": 0.41234, "train_error": 0.2, "test_loss": 0.5, "test_error": 0.0874}


def report(seed: int = 0, step: int = 30, *, ended: bool = False, doing: str = "training", **row) -> Report:
    """Of a network with 100 steps in 10 epochs: its last epoch, or none in the first one."""
    numbers = ROW | {"epoch": step // 10} | row if step >= 10 else {}
    speed = 1500.4 if numbers else 0.0
    return Report(seed, step, 100, step // 10, 10, doing, numbers, speed, EpochEnded(numbers, speed, 1.0, 0.0) if ended else None)


@pytest.fixture
def clock(monkeypatch) -> list[float]:
    """The time, to be set."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_a_single_seed_has_a_line_an_epoch(capsys, clock):
    with progress.display("resnet20", [3]) as shown:
        assert isinstance(shown, progress.Lines)
        shown.update(Began("resnet20", {}, []))
        shown.update(report(3, 0, doing="preparing"))
        for step in range(1, 21):
            clock[0] += 1.0
            shown.update(report(3, step))
            if step % 10 == 0:
                shown.update(report(3, step, ended=True))
    assert capsys.readouterr().err.splitlines() == [
        "resnet20 seed 3: epoch 1 of 10, preparing; 0%",
        *(
            f"resnet20 seed 3: epoch {epoch} of 10, training loss 0.412, test error 8.7%, rate 0.0123, 1500 images/s; {rest}"
            for epoch, rest in ((1, "10%, 1:30 left"), (2, "20%, 1:20 left"))
        ),
    ]


def test_many_seeds_have_one_line_a_minute_together_and_one_each_in_the_end(capsys, clock):
    with progress.display("resnet20", list(range(16))) as shown:
        for second in range(1, 100):
            clock[0] = float(second)
            for seed in range(16):
                shown.update(report(seed, second, ended=second % 10 == 0, test_error=0.1 + 0.01 * seed))
        shown.update(report(5, 100, doing="diverged"))
    first, second, last = capsys.readouterr().err.splitlines()
    assert first.startswith("resnet20 16 seeds, 0 done, 1 training: epoch 1 of 10, training")
    assert second.startswith("resnet20 16 seeds, 0 done, 16 training: epoch 6-7 of 10, training loss 0.412, test error 17.5%, rate")
    assert second.endswith("24006 images/s; all seeds 60%, 40 s left")
    assert last.startswith("resnet20 seed 5: diverged, epoch 10 of 10, training loss 0.412")


def test_a_resumed_run_does_not_count_what_was_done_before(capsys, clock):
    lines = progress.Lines("resnet20", [0])
    lines.update(report(step=80))
    clock[0] = 10.0
    lines.update(report(step=90, ended=True))
    assert capsys.readouterr().err.splitlines()[1].endswith("10 s left")


@pytest.mark.parametrize("width", [80, 120])
def test_bars_on_a_terminal_keep_the_last_epochs_numbers(monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    with progress.Bars("resnet20", [0, 1]) as bars:
        bars.update(report(0, 50, ended=True))
        bars.update(report(0, 51))  # half a second later
        bars.update(report(1, 100, doing="finished"))
    first, second, whole = bars.progress.tasks
    assert (second.description, second.finished) == ("seed 1", True)
    assert whole.percentage == pytest.approx(75.5)
    drawn = io.StringIO()
    Console(file=drawn, width=width).print(bars.progress.get_renderable())
    line = drawn.getvalue().splitlines()[0]
    for part in ("seed 0", "51%", "left", "6/10 loss 0.412", "test 8.7%", "lr 0.0123", "1500"):
        assert part in line
    assert first.started


def test_times_read_well():
    assert [progress.format_seconds(seconds) for seconds in (3.2, 75, 3723)] == ["3 s", "1:15", "1:02:03"]
