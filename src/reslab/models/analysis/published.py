"""Architectures as they were published: our model's parameters for each, its counts, its fingerprint where there is one."""

from pathlib import Path
from typing import Any

import pydantic
from torch import nn

from reslab.config.schema import STRICT, Count, bind, check
from reslab.config.yaml import read_yaml
from reslab.errors import located
from reslab.models import MODELS

PATH = Path(__file__).with_name("published.yaml")


class Counts(pydantic.BaseModel):
    """Numbers as printed; multiply-adds in millions."""

    model_config = STRICT

    parameters: Count
    conv_layers: int | None = None
    batch_norm_layers: int | None = None
    mega_multiply_adds: float | None = None


class Fingerprint(pydantic.BaseModel):
    """The first four logits of two images, and the norm of all, by the rule of fingerprint.py."""

    model_config = STRICT

    logits: list[list[float]]
    norm: float


class Architecture(pydantic.BaseModel):
    """One published network."""

    model_config = STRICT

    id: str
    source: str
    model: dict[str, Any]
    input: list[Count] = [3, 32, 32]
    classes: Count = 10
    counts: Counts
    fingerprint: Fingerprint | None = None

    def build(self) -> nn.Module:
        """The network, with random weights."""
        with located(f"{PATH.name}: {self.id}"):
            return bind(MODELS, self.model, "model")(self.input[0], self.classes)


def architectures() -> list[Architecture]:
    """All of them, in the order of the file."""
    with located(PATH):
        return check(list[Architecture], read_yaml(PATH), "architectures")
