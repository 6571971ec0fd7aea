"""Commands about architectures: what there is, and whether it computes what was published."""

import json
from pathlib import Path
from typing import Annotated

import typer

from reslab.cli.app import app
from reslab.cli.options import model_names
from reslab.cli.text import first_sentence, flow, options
from reslab.config.schema import bind, unknown
from reslab.config.yaml import parse_yaml
from reslab.errors import UserError, first_line, located

PAGE = Path("docs/models.md")


@app.command()
def models(
    family: Annotated[
        str | None, typer.Argument(help="Only this one, such as `wrn`.", show_default="all", autocompletion=model_names)
    ] = None,
    write: Annotated[
        bool, typer.Option("--write", help=f"Write {PAGE}: all families, and the published networks' counts.")
    ] = False,
) -> None:
    """List the network families with their options."""
    if write:
        PAGE.write_text(models_page())
        print(f"wrote {PAGE}")
        return
    from reslab.models import MODELS

    if family is not None and family not in MODELS:
        raise UserError(unknown(family, MODELS, "model"))
    for name, function in MODELS.items():
        if family in (None, name):
            print(f"{name}: {first_sentence(function)}\n    {options(function)}")


@app.command()
def fingerprint(
    model: Annotated[str, typer.Argument(help="As in params.yaml: '{name: wrn, depth: 16, widening_factor: 4}'.")],
    image: Annotated[tuple[int, int, int], typer.Option(help="Channels, height, width.")] = (3, 32, 32),
    classes: Annotated[int, typer.Option(help="Number of classes.")] = 10,
) -> None:
    """Print a network's counts and its fingerprint: logits under fixed weights, to compare with another implementation."""
    from reslab.models import MODELS
    from reslab.models.analysis.count import count
    from reslab.models.analysis.fingerprint import fingerprint as fingerprint_of

    with located("model"):
        spec = parse_yaml(model)
    if min(*image, classes) < 1:
        raise UserError(f"image {image} and classes {classes} are not allowed: all must be at least 1")
    try:
        network = bind(MODELS, spec, "model")(image[0], classes)
        with located("model"):
            counts = count(network, image)
        logits, norm = fingerprint_of(network, image)
    except RuntimeError as error:
        raise UserError(f"model: too large for this machine's memory ({first_line(error)})") from error
    print(json.dumps({"model": spec, **counts, "logits": logits, "logit_norm": norm}, indent=1))


def models_page() -> str:
    """docs/models.md: the families with their options, and every published network with our counts."""
    from reslab.models import MODELS
    from reslab.models.shortcuts import SHORTCUTS

    families = [
        {"`model.name`": f"`{name}`", "what": first_sentence(function), "options": options(function)}
        | {"initialisation": options(function, initialisation=True)}
        for name, function in MODELS.items()
    ]
    shortcuts = [
        {"`model.shortcut.name`": f"`{name}`", "what": first_sentence(function), "options": options(function)}
        for name, function in SHORTCUTS.items()
    ]
    paragraphs = [
        "# Architectures",
        "Made by `reslab models --write`; do not edit.",
        "## Families",
        "An option without a default must be given; null means that another option decides. The last column is the initialisation,"
        " with the defaults of the system that published the numbers: `init` fan_in or fan_out; `linear_init` uniform, fan_in,"
        " fan_out or zero; `linear_bias` uniform or zero; `gamma` one, uniform or near_one; `zero_last_gamma` true or false"
        " (`src/reslab/models/init.py`).",
        _markdown(families),
        "The shortcuts of `shortcut_resnet`:",
        _markdown(shortcuts),
        "## Published networks",
        "The counts are ours, and the tests hold them to the published ones. Fingerprint: under fixed weights the network's logits"
        " are those of the published code, to nine digits. Multiply-adds are of one image; the receptive field, in pixels, is the"
        " theoretical one of the last feature map.",
        _markdown(_published_rows()),
    ]
    return "\n\n".join(paragraphs) + "\n"


def _published_rows() -> list[dict[str, str]]:
    import torch

    from reslab.models.analysis.count import count
    from reslab.models.analysis.published import architectures

    rows = []
    for architecture in architectures():
        with torch.device("meta"):
            counts = count(architecture.build(), tuple(architecture.input))
        rows.append(
            {
                "network": architecture.id,
                "published by": architecture.source,
                "model": f"`{flow(architecture.model)}`",
                "input": "x".join(map(str, architecture.input)),
                "parameters": f"{counts['parameters']:,}",
                "million multiply-adds": f"{counts['multiply_adds'] / 1e6:,.1f}",
                "conv": str(counts["conv_layers"]),
                "BN": str(counts["batch_norm_layers"]),
                "receptive field": str(counts["receptive_field"]),
                "fingerprint": "yes" if architecture.fingerprint else "",
            }
        )
    return rows


def _markdown(rows: list[dict[str, str]]) -> str:
    import pandas as pd

    return pd.DataFrame(rows).to_markdown(index=False, disable_numparse=True)
