"""The settings of one side of `reslab compare`."""

import pandas as pd
from project import SMALL_PARAMS

from reslab import config
from reslab.report.sides import Side


def side(recorded: dict, prepared: dict | None = None, **options) -> Side:
    """A side of which params.yaml has these options of the dataset, and DVC knows with which others its images were prepared."""
    document = config.parse_yaml(SMALL_PARAMS)
    document["dataset"] = {"name": "digits"} | options
    study = config.parse(document)
    rows = [{"experiment": name, "seed": 0, "config": one.sections, "dataset": recorded} for name, one in study.experiments.items()]
    known = {} if prepared is None else dict.fromkeys(study.experiments, {"name": "digits", "validation": 0} | prepared)
    return Side("it", study, pd.DataFrame(rows), known)


def test_options_of_the_dataset_are_params_files_where_the_record_is_of_that_dataset():
    recorded = {"name": "digits", "train": 1, "validation": 20, "test": 1}
    shown, *_ = side(recorded, validation=20, image_size=16).settings.values()
    assert (shown["dataset.image_size"], shown["dataset.validation"]) == (16, 20)
    edited = side(recorded, validation=30, image_size=16)
    shown, *_ = edited.settings.values()
    assert "dataset.image_size" not in shown and shown["dataset.validation"] == 20
    assert edited.edited == list(edited.study.experiments)
    assert not side(recorded, validation=20, image_size=16).edited
    assert side(recorded, image_size=8).datasets == side(recorded, validation=20).datasets


def test_an_edit_of_the_options_alone_is_named_where_dvc_tells_of_those_that_were_prepared():
    recorded = {"name": "digits", "train": 1, "validation": 0, "test": 1}
    edited = side(recorded, {"image_size": 8}, image_size=16)
    shown, *_ = edited.settings.values()
    assert shown["dataset.image_size"] == 8
    assert edited.edited == list(edited.study.experiments)
    assert not side(recorded, {"image_size": 8}, image_size=8).edited
