"""Describe an experiment in numbers that change only when its behaviour does: `python stages/describe.py EXPERIMENT OUTPUT`.

The stage train depends on this description, not on params.yaml or the code of models and data: a change that leaves it as it is
trains nothing again.
"""

from pathlib import Path

from reslab import config
from reslab.data import prepared
from reslab.errors import located, run
from reslab.experiment.description import description
from reslab.runs import records


def describe(
    experiment: str,
    output: Path,
    params: Path = Path("params.yaml"),
    data: Path = Path("data/prepared"),
) -> None:
    """Check EXPERIMENT and write its description to OUTPUT; the others are checked by the stage `check` and by their own."""
    study, loaded = config.load(params), prepared.load(data)
    with located(params):
        described = description(study.experiment(experiment), loaded)
    output.parent.mkdir(parents=True, exist_ok=True)
    records.write_record(output, described)
    config.check_still(params, study, lambda now: now.experiment(experiment).sections)


if __name__ == "__main__":
    run(describe)
