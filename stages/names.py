"""Check the experiments' names before any other stage uses them: `python stages/names.py data/names.txt data/dataset-code.txt`."""

from pathlib import Path

from reslab.config import plugins, read_yaml
from reslab.config.names import check_experiments
from reslab.errors import located, run
from reslab.runs.identity import behaviour

VALID = "Every experiment of params.yaml has a name that can be a folder and a stage.\n"  # always the same: a check redoes nothing
OURS = "The dataset is one that reslab has.\n"


def names(output: Path, code: Path, params: Path = Path("params.yaml")) -> None:
    """Check the names under `experiments` in PARAMS and write to OUTPUT that they can be used; write the dataset's code to CODE."""
    with located(params):
        document = read_yaml(params)
        check_experiments(document)
        known = dataset_code(document["dataset"]["name"]) if plugins.names_in({"dataset": document.get("dataset")}) else OURS
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(VALID, encoding="utf-8")
    code.write_text(known, encoding="utf-8")


def dataset_code(name: str) -> str:
    """A dataset of one's own with a checksum of its code."""
    return f"{name} {behaviour(plugins.sources(name, 'dataset.name'))}\n"


if __name__ == "__main__":
    run(names)
