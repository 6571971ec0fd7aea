"""How the tests are dealt to workers."""

from order import dealt

FILES = {"a": "LL", "b": "Ls", "c": "ssss", "d": "ML", "e": "sss", "f": "M"}
TESTS = [(file, number, kind) for file, kinds in FILES.items() for number, kind in enumerate(kinds)]


def order(workers: int) -> list[tuple[str, int, str]]:
    return dealt(TESTS, workers, rank=lambda test: "LMs".index(test[2]), file=lambda test: test[0])


def test_each_part_begins_with_its_long_tests_and_those_of_a_file_stay_together():
    found = order(2)
    assert sorted(found) == sorted(TESTS)
    assert found[:4] == [("a", 0, "L"), ("a", 1, "L"), ("d", 1, "L"), ("d", 0, "M")]
    assert found[7:9] == [("f", 0, "M"), ("b", 0, "L")]
    assert {kind for _, _, kind in found[4:7] + found[9:]} == {"s"}


def test_one_worker_runs_all_the_long_ones_first():
    assert [kind for _, _, kind in order(1)] == list("LLLLMM") + 8 * ["s"]
    assert dealt([], 3, rank=len, file=len) == []
