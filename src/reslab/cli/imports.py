"""Commands that take weights in: importing published checkpoints, and what their tensors are called."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reslab import config
from reslab.cli.app import WEIGHTS, app
from reslab.cli.options import PREPARED, experiment_names
from reslab.config.yaml import parse_yaml
from reslab.errors import UserError, located
from reslab.weights import keymaps

if TYPE_CHECKING:
    from reslab.data.prepared import Prepared

Image = Annotated[
    tuple[int, int, int] | None,
    typer.Option(help="Channels, height, width of the images; then no prepared dataset is read.", min=1, max=4096),
]
Set = Annotated[
    str | None,
    typer.Option("--set", help="Which set of weights, where a file has several, such as `ema`.", show_default="the only one"),
]
Params = Annotated[Path, typer.Option(help="The study.")]
Data = Annotated[Path, typer.Option(help="The prepared dataset; without one, give --classes.")]


def key_map_names(incomplete: str) -> list[str]:
    """The key maps that come with reslab."""
    return [name for name in keymaps.shipped() if name.startswith(incomplete)]


@app.command(rich_help_panel=WEIGHTS)
def import_weights(  # noqa: PLR0913, PLR0917 - a command's parameters are its options
    checkpoint: Annotated[
        Path,
        typer.Argument(help="A .safetensors file, a torch file with a state dict, or ARCHIVE.zip/NETWORK of `reslab release`."),
    ],
    experiment: Annotated[
        str, typer.Argument(help="The experiment of params.yaml whose model it is.", autocompletion=experiment_names)
    ],
    key_map: Annotated[
        str,
        typer.Option(help=f"{', '.join(keymaps.shipped())}, or the path of your own.", autocompletion=key_map_names),
    ],
    output: Annotated[Path | None, typer.Option(help="Folder for the network.", show_default="data/imported/EXPERIMENT")] = None,
    params: Params = Path("params.yaml"),
    data: Data = PREPARED,
    chosen: Set = None,
    classes: Annotated[
        Path | None,
        typer.Option(
            help="Text file with the classes in the order of the outputs, one a line.", show_default="the dataset's order"
        ),
    ] = None,
    image: Image = None,
    reference: Annotated[
        Path | None, typer.Option(help="Proof: a file of images and of the logits that the original network gives them.")
    ] = None,
    expected_error: Annotated[str | None, typer.Option(help="Proof: the error that is published for it, such as 8.57%.")] = None,
    split: Annotated[str, typer.Option(help="The split of the prepared dataset that --expected-error is of.")] = "test",
    force: Annotated[bool, typer.Option("--force", help="Replace a network that is there already.")] = False,
) -> None:
    """Turn a published checkpoint into a network like the trained ones, for `export`, `predict` and `score`.

    Names and shapes alone do not show that it computes the same: give a proof.
    """
    from reslab.experiment.bound import bound
    from reslab.weights import imported, outputs, proof, published
    from reslab.weights.archive import released
    from reslab.weights.file import save_weights

    target = (output or Path("data/imported") / experiment) / "model.safetensors"
    if target.exists() and not force:
        raise UserError(f"{target}: there is a network already; pass --force to replace it, or another --output")
    if reference is not None and expected_error is not None:
        raise UserError("give --reference or --expected-error, one proof is enough")
    study = config.load(params)
    wanted, keys = study.experiment(experiment), keymaps.read(key_map)
    loaded, facts = _facts(study.dataset, data, classes, image)
    checkpoint = released(checkpoint)
    read = published.read_checkpoint(checkpoint, chosen)
    with located(params):
        made = bound(wanted)
    with located(f"{params}: experiments.{experiment}"):
        network = made.network(facts, seed=0)
        mean, std = imported.constants(made, loaded, facts)
    with located(f"{checkpoint} as {experiment} through the key map {key_map}"):
        mapped, kept = published.load(network, read.tensors, keys)
        described = imported.description(made, facts, mean, std)
        proven = imported.prove(network, described, loaded, reference=reference, expected_error=expected_error, split=split)
    described["imported"] = published.origin(checkpoint, key_map) | {"set": read.place, "proof": proven}
    target.parent.mkdir(parents=True, exist_ok=True)
    save_weights(target, network, described)
    print(published.account(read, mapped, kept), *outputs.lines(facts["class_names"]), proof.said(proven), sep="\n")
    parameters = sum(parameter.numel() for parameter in network.parameters())
    print(f"{target}: {wanted.model['name']}, {parameters:,} parameters")


def _facts(
    dataset: Mapping[str, Any], data: Path, classes: Path | None, image: tuple[int, int, int] | None
) -> "tuple[Prepared | None, dict[str, Any]]":
    """The prepared dataset, None without one, and what is stored of it."""
    from reslab.data import prepared
    from reslab.weights import imported, outputs

    names = None if classes is None else outputs.read_classes(classes)
    if image is None and (data / "dataset.json").is_file():
        loaded = prepared.load(data)
        with located(data):
            return loaded, imported.facts_of(loaded, outputs.order_of_outputs(names, loaded.facts["class_names"]))
    if names is None:
        why = "--image" if image is not None else f"{data}: no prepared dataset (`dvc repro preprocess` makes it)"
        raise UserError(f"{why}: name the outputs by --classes FILE, one class a line, in their order")
    return None, imported.facts_without_data(dataset, names, image)


@app.command(rich_help_panel=WEIGHTS)
def tensors(
    what: Annotated[
        str,
        typer.Argument(
            help="An experiment of params.yaml, a model such as '{name: resnet, depth: 20}', or a file or folder of weights.",
            autocompletion=experiment_names,
        ),
    ],
    chosen: Set = None,
    image: Annotated[tuple[int, int, int], typer.Option(help="Channels, height, width, for a model or an unknown dataset.")] = (
        3,
        32,
        32,
    ),
    classes: Annotated[int, typer.Option(min=1, max=100_000, help="Number of outputs, for the same.")] = 10,
    params: Params = Path("params.yaml"),
) -> None:
    """Print the names and shapes of a network's tensors, ours or those of somebody else's file: what a key map has to join."""
    from reslab.data.sizes import SIZES, source_name
    from reslab.weights import tensor_list

    if Path(what).exists():
        lines = tensor_list.of_file(Path(what), chosen)
    elif what.lstrip().startswith("{"):
        with located("model"):
            lines = tensor_list.of_model(parse_yaml(what), list(image), classes)
    else:
        study = config.load(params)
        known = SIZES.get(source_name(study.dataset), {"image_shape": list(image), "classes": classes})
        with located(f"{params}: experiments.{what}"):
            lines = tensor_list.of_model(study.experiment(what).model, known["image_shape"], known["classes"])
    print("\n".join(lines))
