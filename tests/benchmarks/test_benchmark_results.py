"""What a benchmark left is what the next one adds to, or it is refused before anything is measured."""

import json
import random
import shutil

import pytest

from contest import report
from reslab.errors import UserError
from reslab.runs.records import read_record, write_record

VALUES = (None, "", "NaN", -1, 1e400, [], {}, [1], {"a": 1}, True)


def places(value, path=()):
    """The paths of all values within."""
    yield path
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(item, (*path, key))


@pytest.fixture
def measured(repository, tmp_path):
    """The shipped results, to change at will."""
    return shutil.copytree(repository / "benchmarks/results/cpu", tmp_path / "cpu")


def test_what_is_there_stays_and_is_shown_again(measured):
    before = {path.name: path.read_bytes() for path in measured.iterdir()}
    report.write(read_record(measured / report.RESULTS), measured)
    after = {path.name: path.read_bytes() for path in measured.iterdir()}
    assert after.keys() == before.keys()
    assert all(after[name] == before[name] for name in ("results.json", "report.md", "loops.csv", "scaling.csv"))


def test_other_bytes_and_other_values_are_refused(measured):
    draw, path = random.Random(11), measured / report.RESULTS
    content, record = path.read_bytes(), read_record(path)
    for number in range(100):
        position = draw.randrange(len(content))
        other = [content[:position], b"", content[:position] + bytes([content[position] ^ 1 << draw.randrange(8)])][number % 3]
        path.write_bytes(other + content[position + 1 :] if number % 3 else other)
        with pytest.raises(UserError, match=r"results\.json: .*; take it from git"):
            report.load(measured)
    found = list(places(record))[1:]
    for where in draw.sample(found, 12):
        changed = json.loads(json.dumps(record))
        inner = changed
        for key in where[:-1]:
            inner = inner[key]
        inner[where[-1]] = draw.choice(VALUES)
        write_record(path, changed)
        try:
            report.load(measured)
        except UserError as error:
            assert report.MEND in str(error)
