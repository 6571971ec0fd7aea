"""A run of a small network on random images, in the state in which the train stage starts it."""

import numpy as np
import torch

from reslab import config
from reslab.data.prepared import Prepared
from reslab.data.prepared.splits import Arrays
from reslab.experiment.assemble import Run, assemble
from reslab.experiment.bound import bound
from reslab.runs.ranks import ALONE, Ranks

SECTIONS = {
    "normalize": {"name": "constants", "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]},
    "model": {"name": "preact_resnet", "depth": 8},
    "augment": [{"name": "pad_crop", "padding": 2}, {"name": "flip"}],
    "loss": {"name": "cross_entropy"},
    "optimizer": {"name": "sgd", "lr": 0.05, "momentum": 0.9, "weight_decay": 1e-4},
    "schedule": {"name": "cosine"},
    "train": {"epochs": 2, "batch_size": 16},
}
CPU = torch.device("cpu")


def run(seed: int = 0, device: torch.device = CPU, *, validation: bool = False, ranks: Ranks = ALONE, **sections) -> Run:
    generator = np.random.default_rng(0)
    side = sections.pop("side", 8)
    splits = (Arrays(generator.integers(0, 256, (n, 3, side, side), dtype=np.uint8), np.arange(n) % 4) for n in (40, 12))
    train, test = splits
    data = Prepared(train, test if validation else None, test, {"image_shape": [3, side, side], "class_names": list("abcd")})
    merged = {
        key: default if key == "augment" else config.merge(default, sections.get(key, {})) for key, default in SECTIONS.items()
    }
    merged["augment"] = sections.get("augment", SECTIONS["augment"])
    return assemble(bound(config.from_sections("x", merged)), data, seed=seed, device=device, ranks=ranks)
