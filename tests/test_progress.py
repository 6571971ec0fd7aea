"""Progress lines where there is no terminal."""

import re

from reslab import progress


def test_lines_are_few_and_end_with_the_end(capsys, monkeypatch):
    clock = iter([0.0, 1.0, 2.0, 6.0, 10.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with progress.display("resnet20") as shown:
        assert isinstance(shown, progress.Lines)
        for done in (0, 10, 20, 60, 100):
            shown.update(3, done, 100, "test error 2.0%")
    lines = capsys.readouterr().err.splitlines()
    assert [re.search(r"(\d+)%", line)[1] for line in lines] == ["0", "60", "100"]
    assert lines[1] == "resnet20 seed 3:  60% test error 2.0%, 4 s left"


def test_bars_on_a_terminal():
    with progress.Bars("resnet20") as bars:
        bars.update(0, 1, 2, "training")
        bars.update(0, 2, 2, "finished")
    (task,) = bars.progress.tasks
    assert task.finished
    assert task.description == "resnet20 seed 0"


def test_times_read_well():
    assert [progress.format_seconds(seconds) for seconds in (3.2, 75, 3723)] == ["3 s", "1:15", "1:02:03"]
