"""The learning rate as an expression of the batch size: a tiny language, and nothing beyond it."""

import pytest

from reslab.errors import UserError
from reslab.training.optim.rate import base_rate


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("0.1*B/128", 0.4),
        ("0.1", 0.1),
        (".5 * B", 256.0),
        ("1e-3*B/256*2.", 0.004),
        ("B/B/4", 0.25),
        ("100/B*128", 25.0),  # from left to right
        (0.3, 0.3),
        (2, 2),
    ],
)
def test_expressions_of_the_batch_size(text, rate):
    assert base_rate(text, batch_size=512) == pytest.approx(rate, rel=1e-15)


@pytest.mark.parametrize(
    "text",
    ["fast", "", " ", "0.1+B", "-0.1", "0.1*", "*B", "0.1B", "B 2", "0.1**B", "0.1*(B)", "b/128", "B/0", "1_0", "inf", "B/0.0"],
)
def test_all_else_is_refused_with_what_is_allowed(text):
    with pytest.raises(UserError, match=r"is not allowed: should be a valid number >= 0, or .* such as 0\.1\*B/128") as caught:
        base_rate(text, batch_size=512)
    assert "\n" not in str(caught.value)
