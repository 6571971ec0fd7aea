"""Check the whole study once, before any of its experiments is trained: `python stages/check.py data/prepared data/check.txt`."""

from pathlib import Path

from reslab import config
from reslab.data import prepared
from reslab.errors import located, run
from reslab.experiment.check import check_study

VALID = "Every experiment of params.yaml can be built and trained on data/prepared.\n"  # always the same: a check redoes nothing


def check(data: Path, output: Path, params: Path = Path("params.yaml")) -> None:
    """Build every part of every experiment on DATA and write to OUTPUT that this is possible; an error names its path."""
    study, loaded = config.load(params), prepared.load(data)
    with located(params):
        check_study(study, loaded.facts)
    config.check_still(params, study, lambda now: (now.dataset, now.experiments))
    output.write_text(VALID, encoding="utf-8")


if __name__ == "__main__":
    run(check)
