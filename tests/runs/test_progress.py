"""Progress: lines where there is no terminal, bars where there is one, the time left for all seeds."""

import re

from reslab.runs import progress


def test_lines_are_few_and_tell_the_time_left_for_all_seeds(capsys, monkeypatch):
    clock = iter([0.0, 1.0, 2.0, 6.0, 10.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with progress.display("resnet20", [3, 4]) as shown:
        assert isinstance(shown, progress.Lines)
        for done in (0, 10, 20, 60, 100):
            shown.update(3, done, 100, "test error 2.0%")
    lines = capsys.readouterr().err.splitlines()
    assert [re.search(r"(\d+)%", line)[1] for line in lines] == ["0", "60", "100"]
    assert lines[1] == "resnet20 seed 3:  60% test error 2.0%; all seeds 30%, 14 s left"


def test_a_resumed_run_does_not_count_what_was_done_before(capsys, monkeypatch):
    clock = iter([0.0, 10.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    lines = progress.Lines("resnet20", [0])
    lines.update(0, 80, 100, "training")
    lines.update(0, 90, 100, "training")
    assert capsys.readouterr().err.splitlines()[1].endswith("10 s left")


def test_bars_on_a_terminal():
    with progress.Bars("resnet20", [0, 1]) as bars:
        bars.update(0, 1, 2, "training")
        bars.update(0, 2, 2, "finished")
    first, second, whole = bars.progress.tasks
    assert (first.description, first.finished) == ("resnet20 seed 0", True)
    assert (second.fields["text"], second.started) == ("waiting", False)
    assert whole.percentage == 50


def test_times_read_well():
    assert [progress.format_seconds(seconds) for seconds in (3.2, 75, 3723)] == ["3 s", "1:15", "1:02:03"]
