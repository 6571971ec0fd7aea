"""Check the experiments' names before any other stage has them in a command or a path: `python stages/names.py data/names.txt`."""

from pathlib import Path

from reslab.config import read_yaml
from reslab.config.names import check_experiments
from reslab.errors import located, run

VALID = "Every experiment of params.yaml has a name that can be a folder and a stage.\n"  # always the same: a check redoes nothing


def names(output: Path, params: Path = Path("params.yaml")) -> None:
    """Check the names under `experiments` in PARAMS and write to OUTPUT that they can be used."""
    with located(params):
        check_experiments(read_yaml(params))
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(VALID, encoding="utf-8")


if __name__ == "__main__":
    run(names)
