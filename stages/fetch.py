"""Fetch the dataset into data/raw, checksums verified: `python stages/fetch.py data/raw`."""

from pathlib import Path

from reslab import config
from reslab.data import datasets
from reslab.errors import run
from reslab.storage import writes


@writes
def fetch(raw: Path, params: Path = Path("params.yaml")) -> None:
    """Fetch the study's dataset into the folder RAW, and say what was left out; a damaged or altered file is refused by name."""
    study = config.load(params)
    for line in datasets.bound(study.dataset, f"{params}: dataset")(raw).fetch() or ():  # a dataset may have nothing to say
        print(line)
    config.check_still(params, study, lambda now: now.dataset)


if __name__ == "__main__":
    run(fetch)
