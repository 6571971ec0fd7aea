"""Hashes of short trainings in portable numerics: `python tests/support/portable.py` prints one for each form of each family.

`tests/training/portable.json` has those of the processors that have run it: the same, or portable numerics do not hold.
"""

import hashlib
import json
import sys

from reslab.training.execution import numerics

STEPS = 3
SHIPPED = {"pad_crop", "flip"}  # in all of the others
OPTIONS = {
    "sgd": {"lr": 0.05, "nesterov": True, "momentum": 0.9},
    "lars": {"lr": 0.1, "rule": "hysts", "momentum": 0.9},
    "cutout": {"size": 4},
    "dual_cutout": {"size": 4},
}


def cases() -> dict[str, dict]:
    """Name -> sections of a run: every form of every family, and one network with every optimizer, augmentation and precision."""
    from families import CASES

    from reslab.data.augment.recipe import AUGMENTATIONS, MIXINGS
    from reslab.training.optim.optimizers import OPTIMIZERS

    found = {f"{name} {json.dumps(options)}": {"model": {"name": name, **options}} for name, options in CASES}
    for precision in ("float64", "bfloat16"):
        found[precision] = {"train": {"epochs": 1, "batch_size": 16, "precision": precision}}
    for name in OPTIMIZERS:
        found[name] = {"optimizer": {"name": name, "lr": 0.001} | OPTIONS.get(name, {})}
    for name in sorted((AUGMENTATIONS | MIXINGS).keys() - SHIPPED):
        found[name] = {"augment": [{"name": name} | OPTIONS.get(name, {})]}
    return found


def trained(sections: dict) -> tuple[str, str]:
    """The hash of losses and weights after a few steps, and that of what the network then says of the last images."""
    import torch
    from families import sizes
    from small_runs import run

    from reslab.training.precision import forward
    from reslab.training.step import train_step

    network = run(side=sizes(sections.get("model", {"name": "resnet"})["name"])[1], **sections)
    network.rule.batch_norm.begin_epoch(network.model)
    digest = hashlib.sha256()
    for step, batch in zip(range(STEPS), network.batches.iterate(1), strict=False):
        loss, _ = train_step(network.model, batch, network.loss, network.optimizer, network.rule)
        digest.update(f"{step} {loss.item()!r}".encode())
    for tensor in network.model.state_dict().values():
        digest.update(tensor.contiguous().view(-1).float().numpy().tobytes())
    network.model.eval()
    with torch.no_grad():
        logits = forward(network.model, batch[0], network.rule.precision).float()
    return digest.hexdigest()[:16], hashlib.sha256(logits.numpy().tobytes()).hexdigest()[:16]


def main(wish: str = numerics.PORTABLE) -> None:
    """Print the hashes of all cases as JSON, with the version of torch and the numerics in force."""
    numerics.pin(wish)
    import torch

    from reslab.training.execution import hardware

    device = torch.device("cpu")
    hardware.prepare(device, precision="float32", fast=False, numeric=wish)
    facts = hardware.describe(device)
    told = {key: facts[key] for key in ("device", "numerics", "torch")}
    found = {name: trained(sections) for name, sections in cases().items()}
    hashes, scores = ({name: pair[k] for name, pair in found.items()} for k in (0, 1))
    print(json.dumps(told | {"hashes": hashes, "scored": scores}, indent=1))


if __name__ == "__main__":
    main(*sys.argv[1:])
