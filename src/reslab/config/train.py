"""The section `train` of params.yaml: its options and their types."""

from typing import Annotated, Literal

import pydantic
from pydantic import Field

from reslab.config.schema import STRICT, Count, Positive, Size

SCORED_AT_ONCE = 500  # images of a batch that is only scored; fewer where they are large


class Evaluation(pydantic.BaseModel):
    """How held-out images are shown to the network: once, or in ten crops whose answers are averaged (data/batches/held_out.py)."""

    model_config = STRICT

    crops: Literal["single", "ten"] = "single"
    average: Literal["softmax", "logits"] = "softmax"
    padding: Size | None = None  # of images in memory, which have no pixels to spare


class BatchNorm(pydantic.BaseModel):
    """How batch norm's running statistics are kept: see training/batch_norm.py."""

    model_config = STRICT

    momentum: Annotated[float, Field(gt=0, le=1)] | Literal["cumulative"] | None = None
    reset: Literal["never", "epoch"] = "never"
    frozen: bool = False
    across: Literal["batch", "process"] = "batch"  # where several processes train a network: one statistic, or one each


Numerics = Literal["native", "portable"]
Precision = Literal["float32", "tf32", "float64", "bfloat16", "float16", "pure_bfloat16", "pure_float16"]


class Train(pydantic.BaseModel):
    """The budget and the numerics of one training run; what is not given is not done."""

    model_config = STRICT

    epochs: Count | None = None
    iterations: Count | None = None
    batch_size: Count
    drop_last: bool = False
    replacement: bool = False  # images drawn independently, as many as there are, instead of each once an epoch
    ghost_batch_size: Count | None = None
    gradient_clip: Positive | None = None
    batch_norm: BatchNorm | None = None
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    recompute: bool = False  # blocks keep their input only and are computed again for the backward pass: less memory, same numbers
    precision: Precision = "float32"
    fast: bool = False
    numerics: Numerics = "native"  # on a CPU: numerics.py
    evaluation: Evaluation | None = None

    def steps(self, images: int) -> int:
        """Optimizer steps of the whole run on `images` training images."""
        return self.iterations or self.epochs * self.steps_per_epoch(images)

    def steps_per_epoch(self, images: int) -> int:
        """Batches in one pass over `images` training images, the smaller last one counted unless `drop_last`."""
        return images // self.batch_size if self.drop_last else -(-images // self.batch_size)

    def contradiction(self) -> str | None:
        """The first contradiction among the options, on one line; None if there is none."""
        if (self.epochs is None) == (self.iterations is None):
            return "give exactly one of epochs, iterations"
        if self.ghost_batch_size is not None and self.ghost_batch_size > self.batch_size:
            return f"ghost_batch_size {self.ghost_batch_size} is not allowed: at most batch_size, {self.batch_size}"
        if self.batch_norm is not None and self.batch_norm.frozen and self.batch_norm != BatchNorm(frozen=True):
            return "batch_norm that is frozen keeps no statistics: neither momentum nor reset is allowed"
        if self.ema is not None and self.precision.startswith("pure_"):
            return f"ema with precision {self.precision} is not allowed: its small changes need weights in float32"
        if self.evaluation is not None and self.evaluation.crops == "single" and self.evaluation != Evaluation():
            return "evaluation: average and padding are for crops: ten"
        return None
