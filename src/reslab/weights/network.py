"""Stored networks, trained or imported: one safetensors file holds all that is needed to use one again."""

import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import pydantic
from pydantic import Field
from torch import Tensor, nn

from reslab.config import schema
from reslab.config.schema import Positive, Size
from reslab.config.train import Numerics
from reslab.config.train import Precision as PrecisionName
from reslab.data.normalize import Mean, spread
from reslab.errors import UserError, located
from reslab.experiment.networks import build_stored_network
from reslab.experiment.own_code import changed
from reslab.runs import network_files
from reslab.training.precision import PRECISIONS, Precision
from reslab.weights.archive import unpacked
from reslab.weights.check import check_constants, check_fits, check_header, read_shapes
from reslab.weights.file import load_weights, read_sealed


class RawPixelClassifier(nn.Module):
    """A network with its normalisation: float pixels 0..255 (B, C, H, W) -> logits (B, K)."""

    def __init__(self, network: nn.Module, mean: Mean, std: list[float]) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", spread(mean).float() * 255)
        self.register_buffer("std", spread(std).float() * 255)

    def forward(self, pixels: Tensor) -> Tensor:
        return self.network((pixels - self.mean) / self.std)


class Facts(pydantic.BaseModel):
    """The facts of the dataset that metadata must have; other keys of a description are allowed."""

    image_shape: Annotated[list[Size], Field(min_length=3, max_length=3)]
    class_names: Annotated[list[Annotated[str, Field(max_length=1000)]], Field(min_length=1, max_length=100_000)]


class StoredTrain(pydantic.BaseModel):
    """The options of the training that metadata may have: a network is scored in the precision and numerics it was trained in."""

    precision: PrecisionName = "float32"
    numerics: Numerics = "native"


class Config(pydantic.BaseModel):
    """The sections of the experiment; only `model` is needed, since an imported network was not trained here."""

    model: dict[str, Any]
    train: StoredTrain = StoredTrain()


class Constants(pydantic.BaseModel):
    """Normalisation, the mean per channel or per pixel."""

    mean: Mean
    std: list[Positive]


class Description(pydantic.BaseModel):
    """The metadata of stored weights."""

    config: Config
    dataset: Facts
    normalization: Constants


@dataclass(frozen=True)
class StoredNetwork:
    """A trained or imported network as its file describes it; the weights are read when they are needed."""

    description: dict  # config (at least its model), dataset, normalization
    weights: Path
    precision: Precision  # of the training
    numerics: Numerics = "native"  # of the training

    @property
    def facts(self) -> dict:
        """The dataset's name, image_shape and class_names."""
        return self.description["dataset"]

    @cached_property
    def classifier(self) -> RawPixelClassifier:
        """The network in float32 with its normalisation, in eval mode; raises UserError for weights that do not fit."""
        return RawPixelClassifier(self._loaded(self._built()), **self.description["normalization"]).eval()

    def network(self) -> nn.Module:
        """The network without its normalisation in the precision of its training, in eval mode."""
        return self._loaded(self.precision.convert(self._built())).eval()

    def _built(self) -> nn.Module:
        model = self.description["config"]["model"]
        with located(self.weights):
            check_fits(model, self.facts, read_shapes(self.weights))
            if changed(self.description):
                print(f"warning: the code of {model['name']} was changed since {self.weights} was trained", file=sys.stderr)
            return build_stored_network(model, self.facts, seed=0)

    def _loaded(self, network: nn.Module) -> nn.Module:
        load_weights(self.weights, network)
        return network


def load_network(path: Path, *, older: bool = True) -> StoredNetwork:
    """The network of a folder, or of a .safetensors file; all it needs is stored with the weights.

    Raises UserError if there is none, if it is damaged, or if the record beside it tells of others. `older`: also one of a version
    that wrote no checksums, which a line on stderr then says.
    """
    stored = read_network(path, older=older)
    stored.classifier  # noqa: B018 - read at once, so that damaged weights are refused here
    return stored


def read_network(path: Path, *, older: bool = True) -> StoredNetwork:
    """What `load_network` gives, its bytes verified, before its weights are read."""
    weights = weights_file(path)
    with located(weights):
        check_header(weights)
    found = read_sealed(weights, older=older)
    network_files.check_weights(weights, found, older=older)
    described = found.description
    with located(weights):
        said = schema.check(Description, described, "metadata")
        check_constants(said.normalization.mean, said.normalization.std, said.dataset.image_shape)
    train = said.config.train
    return StoredNetwork(described, weights, PRECISIONS[train.precision], train.numerics)


def weights_file(path: Path) -> Path:
    """The weights in a trained or imported network's folder or archive, or the file itself; raises UserError if there are none."""
    path = unpacked(path)
    weights = path / "model.safetensors" if path.is_dir() else path
    if not weights.is_file():
        what = "no model.safetensors in it" if path.is_dir() else "no such folder"
        raise UserError(f"{path}: {what}; trained networks are in data/runs/<experiment>/seed<k>, imported in data/imported")
    return weights
