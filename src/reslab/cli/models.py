"""Commands about architectures: what there is, and whether it computes what was published."""

import json
from typing import Annotated

import typer

from reslab.cli.app import REFERENCE, app
from reslab.cli.options import model_names
from reslab.cli.text import first_sentence, options
from reslab.config import plugins
from reslab.config.schema import unknown
from reslab.config.yaml import parse_yaml
from reslab.errors import UserError, first_line, located


@app.command(rich_help_panel=REFERENCE)
def models(
    family: Annotated[
        str | None, typer.Argument(help="Only this one, such as `wrn`.", show_default="all", autocompletion=model_names)
    ] = None,
) -> None:
    """List the network families with their options."""
    from reslab.models import MODELS

    if plugins.is_own(family):
        from reslab.experiment.networks import own_function

        function = own_function(family)
        print(f"{family}: {first_sentence(function)}\n    {options(function)}")
        return
    if family is not None and family not in MODELS:
        raise UserError(unknown(family, MODELS, "model"))
    for name, function in MODELS.items():
        if family in (None, name):
            print(f"{name}: {first_sentence(function)}\n    {options(function)}")


@app.command(rich_help_panel=REFERENCE)
def fingerprint(
    model: Annotated[str, typer.Argument(help="As in params.yaml: '{name: wrn, depth: 16, widening_factor: 4}'.")],
    image: Annotated[tuple[int, int, int], typer.Option(help="Channels, height, width.")] = (3, 32, 32),
    classes: Annotated[int, typer.Option(help="Number of classes.")] = 10,
) -> None:
    """Print a network's counts and its fingerprint: logits under fixed weights, to compare with another implementation."""
    from reslab.experiment.networks import bind_network
    from reslab.models.analysis.count import count
    from reslab.models.analysis.fingerprint import fingerprint as fingerprint_of

    with located("model"):
        spec = parse_yaml(model)
    if min(*image, classes) < 1:
        raise UserError(f"image {image} and classes {classes} are not allowed: all must be at least 1")
    try:
        network = bind_network(spec)(image[0], classes)
        with located("model"):
            counts = count(network, image)
        logits, norm = fingerprint_of(network, image)
    except RuntimeError as error:
        raise UserError(f"model: too large for this machine's memory ({first_line(error)})") from error
    print(json.dumps({"model": spec, **counts, "logits": logits, "logit_norm": norm}, indent=1))
