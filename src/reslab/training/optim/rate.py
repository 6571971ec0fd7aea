"""The base learning rate: a number, or an expression of the batch size."""

import re

from reslab.errors import UserError, shown

TOKEN = re.compile(r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)|(?P<batch>B)|(?P<sign>[*/]))")
ALLOWED = "should be a valid number >= 0, or numbers and the batch size B joined by * and /, such as 0.1*B/128"


def base_rate(value: float | str, *, batch_size: int) -> float:
    """A number as it is; a text such as `0.1*B/128` with the batch size for B, worked out from left to right.

    `0.1*B/128` is the linear scaling rule (Goyal et al. 2017, arXiv:1706.02677, section 2.1). Raises UserError for other texts.
    """
    if not isinstance(value, str):
        return value
    terms = [float(batch_size) if token["batch"] else token["sign"] or float(token["number"]) for token in _tokens(value)]
    factors, signs = terms[::2], terms[1::2]
    if len(terms) % 2 == 0 or not all(isinstance(factor, float) for factor in factors) or not set(signs) <= {"*", "/"}:
        raise _refused(value)
    rate = factors[0]
    for sign, factor in zip(signs, factors[1:], strict=True):
        if sign == "/" and factor == 0:
            raise _refused(value)
        rate = rate * factor if sign == "*" else rate / factor
    return rate


def _tokens(text: str) -> list[re.Match]:
    found, position, text = [], 0, text.rstrip()
    while position < len(text):
        token = TOKEN.match(text, position)
        if token is None:
            raise _refused(text)
        found.append(token)
        position = token.end()
    return found


def _refused(text: str) -> UserError:
    return UserError(f"{shown(text)} is not allowed: {ALLOWED}")
