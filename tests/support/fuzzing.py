"""How many random cases a fuzzer tries: the same few in every run of the tests, or many new ones where that is asked for.

`RESLAB_FUZZ=50 pytest -m fuzz` tries 50 times as many of each: fuzzers with 2,000 cases together then try 100,000.
"""

import os
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, settings

FACTOR = int(os.environ.get("RESLAB_FUZZ", "1"))


def cases(normally: int) -> int:
    """The number of cases to try: `normally`, times RESLAB_FUZZ."""
    return normally * FACTOR


def fuzz(normally: int) -> Callable[[Callable], Callable]:
    """Decorator of a `@given` test: it tries `normally` cases, always the same ones, or RESLAB_FUZZ times as many, drawn anew."""
    tried = settings(
        max_examples=cases(normally),
        derandomize=FACTOR == 1,
        database=None,  # a failure prints its case, and is not kept in a folder
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    longer = pytest.mark.timeout(900 * FACTOR)  # else many cases on a busy machine pass for one that hangs
    return lambda test: longer(pytest.mark.fuzz(tried(test)))
