"""Networks that finished no better than a guess: found by the binomial interval, counted with those that diverged."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from reslab.data.sizes import commonest_share
from reslab.report.statistics.comparison import comparisons
from reslab.report.statistics.failures import failures, trained, with_untrained


def runs(errors: list[float | None], images: float = 360, **columns) -> pd.DataFrame:
    rows = [
        {
            "experiment": "one",
            "seed": seed,
            "status": "diverged" if error is None else "finished",
            "test_error": 1 if error is None else error,
        }
        for seed, error in enumerate(errors)
    ]
    return pd.DataFrame(rows).assign(test_images=images, **columns)


def test_an_error_within_the_binomial_interval_of_a_guess_is_no_training():
    low = stats.binom.ppf(0.025, 360, 0.9) / 360
    found = with_untrained(runs([0.9, low, low - 1 / 360, 0.05, None, 0.97]), 0.1)
    assert found["status"].tolist() == ["did not train", "did not train", "finished", "finished", "diverged", "did not train"]
    assert trained(found)["seed"].tolist() == [2, 3]
    assert failures(found, "one") == (4, 2)


def test_the_share_of_the_commonest_class_is_the_records_where_it_has_one():
    assert with_untrained(runs([0.5, 0.2], test_commonest=0.5), 0.1)["status"].tolist() == ["did not train", "finished"]
    assert with_untrained(runs([0.9]), math.nan)["status"].tolist() == ["finished"]  # an unknown data set
    assert with_untrained(runs([0.9], images=math.nan), 0.1)["status"].tolist() == ["finished"]


def test_a_guess_is_found_in_97_of_100_networks_that_guess():
    wrong = np.random.default_rng(0).binomial(1000, 0.99, 2000) / 1000
    found = with_untrained(runs(wrong.tolist(), images=1000), 0.01)
    assert (found["status"] == "did not train").mean() >= 0.975


@pytest.mark.parametrize(
    ("dataset", "share"),
    [
        ({"name": "cifar100"}, 0.01),
        ({"name": "mnist"}, 0.1135),
        ({"name": "image_folder", "source": "x/cifar10-jpeg.tar"}, 0.1),
        ({"name": "image_folder", "source": "flowers"}, math.nan),
    ],
)
def test_known_data_sets_have_their_commonest_class(dataset, share):
    assert commonest_share(dataset) == pytest.approx(share, nan_ok=True)


def test_failures_of_both_kinds_are_compared_together():
    one = with_untrained(runs([None, 0.9, 0.91]), 0.1)
    other = with_untrained(runs([0.02, 0.03, 0.02]), 0.1).assign(experiment="other")
    row = comparisons(pd.concat([one, other]), [("one", "other")]).loc[0]
    assert (row["diverged"], row["n"]) == (3, 0)
    assert row["divergence_p"] == pytest.approx(1 / 32)
    assert row["verdict"] == "failed 3 of 3 against 0 of 3: more often"
