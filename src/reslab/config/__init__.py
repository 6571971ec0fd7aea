"""params.yaml as checked objects: a study and its experiments."""

from reslab.config.report import Published
from reslab.config.study import SECTIONS, STUDY_KEYS, Experiment, Study, check_still, from_sections, load, merge, parse
from reslab.config.yaml import parse_yaml, read_yaml

__all__ = [
    "SECTIONS",
    "STUDY_KEYS",
    "Experiment",
    "Published",
    "Study",
    "check_still",
    "from_sections",
    "load",
    "merge",
    "parse",
    "parse_yaml",
    "read_yaml",
]
