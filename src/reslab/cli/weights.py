"""Commands that use stored networks: exporting, predicting, scoring."""

import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer
from tabulate import tabulate

from reslab.cli.app import WEIGHTS, app
from reslab.errors import UserError, check_folder, located, new_file, plain

Network = Annotated[
    Path, typer.Argument(help="A folder with a trained or imported network, a .safetensors file of one, or ARCHIVE.zip/NETWORK.")
]
Data = Annotated[Path, typer.Option(help="The prepared dataset.")]


@app.command(rich_help_panel=WEIGHTS)
def export(
    network: Network,
    onnx: Annotated[Path | None, typer.Option(help="File for ONNX: pixels 0..255 in, logits out.")] = None,
    safetensors: Annotated[Path | None, typer.Option(help="File for the weights, described in its metadata.")] = None,
) -> None:
    """Write a trained or imported network as one file that other programs read."""
    if onnx is None and safetensors is None:
        raise UserError("nothing to write: give --onnx FILE or --safetensors FILE")
    from reslab.weights.network import load_network, weights_file

    stored = load_network(network)
    if safetensors is not None:
        with new_file(safetensors) as draft:
            shutil.copyfile(weights_file(network), draft)
        print(f"{safetensors}: weights, with model, normalization and class names as metadata")
    if onnx is not None:
        from reslab.weights.onnx import OPSET
        from reslab.weights.onnx import export as export_onnx

        kept = {key: stored.description[key] for key in ("config", "dataset", "normalization")}
        with located(onnx):
            difference = export_onnx(stored.classifier, onnx, image_shape=stored.facts["image_shape"], description=kept)
        print(f"{onnx}: opset {OPSET}; ONNX Runtime's logits differ from ours by at most {difference:.1e}")


@app.command(rich_help_panel=WEIGHTS)
def predict(
    network: Network,
    images: Annotated[list[Path], typer.Argument(help="Image files (PNG, JPEG, TIFF, WebP, GIF, BMP, PPM, JPEG 2000, AVIF).")],
    top: Annotated[int, typer.Option(min=1, help="The number of classes to name for each image.")] = 5,
) -> None:
    """Print the most probable classes of images."""
    import torch

    from reslab.data.decode import as_evaluated
    from reslab.weights.network import load_network

    stored = load_network(network)
    shape, resize = stored.facts["image_shape"], stored.facts.get("resize")
    decoded = [as_evaluated(_image_file(path), shape, resize, name=str(path)) for path in images]
    with torch.no_grad():
        logits = torch.cat([stored.classifier(torch.from_numpy(pixels)[None].float()) for pixels in decoded])
    names = stored.facts["class_names"]
    rows = []
    for path, probabilities in zip(images, logits.softmax(1), strict=True):
        values, classes = probabilities.topk(min(top, len(names)))
        for i, (value, which) in enumerate(zip(values.tolist(), classes.tolist(), strict=True)):
            rows.append([plain(str(path)) if i == 0 else "", plain(names[which]), f"{value:.4f}"])
    print(tabulate(rows, ["image", "class", "probability"], disable_numparse=True, colalign=("left", "left", "right")))


def _image_file(path: Path) -> bytes:
    from reslab.data.datasets.archives import MAX_MEMBER_BYTES

    if not path.is_file():  # reading a pipe would wait for its other end
        raise UserError(f"{path}: {'no such file' if not path.exists() else 'not a plain file; give image files'}")
    if path.stat().st_size > MAX_MEMBER_BYTES:
        raise UserError(f"{path}: {path.stat().st_size:,} bytes, over the limit of {MAX_MEMBER_BYTES:,} for an image")
    return path.read_bytes()


@app.command(rich_help_panel=WEIGHTS)
def score(
    network: Network,
    data: Data = Path("data/prepared"),
    images: Annotated[
        Path | None,
        typer.Option(
            help="Another test set of the same classes instead: a folder or archive of <class>/<image> (or test/<class>/<image>), "
            "or a .npy of images."
        ),
    ] = None,
    labels: Annotated[Path | None, typer.Option(help="The labels of a .npy of images, a .npy too.")] = None,
    output: Annotated[Path | None, typer.Option(help="Folder for the logits, a .safetensors for each split.")] = None,
) -> None:
    """Score a trained or imported network on the held-out images of the prepared dataset, or on images of your own."""
    from reslab.data import prepared
    from reslab.data.datasets import other_test_set
    from reslab.report import predictions
    from reslab.report.tables.scores import score_table
    from reslab.training.execution import hardware
    from reslab.weights.network import load_network
    from reslab.weights.predict import predict_held_out, predict_split

    if labels is not None and images is None:
        raise UserError("--labels goes with --images")
    if output is not None:
        check_folder(output)
    stored, device = load_network(network), hardware.choose_device()
    hardware.prepare(device, precision=stored.precision.name, fast=False, numeric=stored.numerics)
    if images is None:
        loaded = prepared.load(data)
        with located(f"{network} on {data}"):
            (found,) = predict_held_out([stored], loaded, device)
    else:
        shape = {key: stored.facts[key] for key in ("image_shape", "class_names")}
        resize = stored.facts.get("resize")
        tested = other_test_set.read(images, labels=labels, resize=resize, say=lambda line: typer.echo(line, err=True), **shape)
        (answers,) = predict_split([stored], tested, device)
        found = {images.name.removesuffix(".npy"): answers}
    if "imported" in stored.description and not stored.description["imported"].get("proof"):
        print(f"{network}: imported, and not proven to compute what it did where it comes from", file=sys.stderr)
    for split, answers in found.items() if output is not None else ():
        predictions.save(output / f"{split}.safetensors", answers)
    print(score_table(found))
