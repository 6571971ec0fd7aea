"""Random params.yaml: whatever it says, it is either a study that can be checked or one line that says what is wrong."""

from pathlib import Path
from typing import Any

import torch
from facts import facts
from fuzzing import fuzz
from hypothesis import given
from hypothesis import strategies as st
from random_params import CHANGES, TEXT, documents

from reslab import config
from reslab.config.schema import bind
from reslab.config.yaml import parse_yaml
from reslab.errors import UserError
from reslab.experiment.bound import TABLES, bound
from reslab.experiment.check import check_network, check_parts, facts_before

FACTS = facts("digits")
LONGEST_MESSAGE = 1500  # a list of all that is allowed, not of what was given


def largest(model: dict) -> int:
    """The largest whole number in a model's section: how long it takes to build."""
    numbers = [value for each in model.values() for value in (each if isinstance(each, list) else [each])]
    return max((number for number in numbers if isinstance(number, int)), default=0)


def attempt(document: Any) -> None:
    """Load a document and check what it says, as `reslab check` does; a UserError is one line that does not echo the document."""
    try:
        study = config.parse(document)
        bind(TABLES["dataset"], study.dataset, "dataset")
        facts_before(study, Path("no-such-folder"))
        for experiment in study.experiments.values():
            made = bound(experiment)
            check_parts(made, FACTS)
            made.unreached_milestones(made.budget(FACTS["train"]))
            if largest(experiment.model) <= 32:
                with torch.device("meta"):
                    network = made.network(FACTS, seed=0)
                if largest(experiment.model) <= 14:
                    check_network(made, network, FACTS)
    except UserError as error:
        assert len(str(error)) < LONGEST_MESSAGE
        assert len(str(error).splitlines()) == 1


@fuzz(1200)
@given(documents())
def test_any_document_is_a_study_or_one_line(document):
    attempt(document)


@fuzz(800)
@given(st.lists(CHANGES, min_size=1, max_size=4))
def test_any_text_is_a_document_or_one_line(changes):
    text = TEXT
    for start, length, piece in changes:
        text = text[:start] + piece + text[start + length :]
    try:
        parse_yaml(text)
    except UserError as error:
        assert len(str(error)) < LONGEST_MESSAGE
        assert len(str(error).splitlines()) == 1
