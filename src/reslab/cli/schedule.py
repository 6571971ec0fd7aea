"""The command that shows an experiment's learning rate before anything is trained."""

from pathlib import Path
from typing import Annotated

import typer

from reslab import config
from reslab.cli.app import REFERENCE, app
from reslab.cli.options import Params, experiment_names
from reslab.cli.text import milestones
from reslab.config.study import Study
from reslab.errors import UserError, check_output, located

FORMATS = (".png", ".svg", ".pdf")


@app.command(rich_help_panel=REFERENCE)
def schedule(
    experiment: Annotated[str, typer.Argument(help="One of params.yaml's experiments.", autocompletion=experiment_names)],
    output: Annotated[
        Path, typer.Option(help="The file to write, .png, .svg or .pdf, or a folder, which gets EXPERIMENT.png.")
    ] = Path("schedule.png"),
    images: Annotated[int | None, typer.Option(min=1, max=10**9, help="Training images, if the data is not there yet.")] = None,
    params: Params = Path("params.yaml"),
) -> None:
    """Plot the learning rate of an experiment over its whole budget."""
    if output.is_dir():
        output /= f"{experiment}.png"
    if output.suffix not in FORMATS:
        raise UserError(f"{output}: unknown format; allowed: {', '.join(FORMATS)}")
    check_output(output)
    study = config.load(params)
    with located(params):
        chosen = study.experiment(experiment)
    count = training_images(study) if images is None else images
    from torch import nn

    from reslab.experiment.bound import bound
    from reslab.report.figures.schedule import plot_rates
    from reslab.training.schedule.warmup import ObservedWarmup

    with located(params):
        made = bound(chosen)
    with located(f"{params}: experiments.{experiment}"):
        length = made.budget(count)
        factor = made.schedule(length)
        base = made.optimizer(nn.Linear(2, 2)).param_groups[0]["initial_lr"]
    title, warmup = experiment, factor.warmup
    if isinstance(warmup, ObservedWarmup):  # its end depends on the training
        title += f" (from the start {base * warmup.constant:.3g}, until the training error is below {warmup.below:.0%})"
        factor = factor.main
    plot_rates(lambda step: base * factor(step), output, steps=length.steps, steps_per_epoch=length.steps_per_epoch, title=title)
    if late := made.unreached_milestones(length):
        print(f"the run ends before {milestones(chosen, late)}")
    print(f"{output}: {length.steps} steps of {chosen.train.batch_size} images, {length.steps_per_epoch} an epoch")


def training_images(study: Study) -> int:
    """The number of training images, from the prepared data; raises UserError if it is missing or of another dataset."""
    from reslab.data import prepared

    folder = Path("data/prepared")
    facts = prepared.load(folder).facts if folder.exists() else {}
    if facts.get("name") != study.dataset["name"]:
        raise UserError(f"{folder}: no {study.dataset['name']} there yet; give --images, or run `dvc repro preprocess`")
    return facts["train"]
