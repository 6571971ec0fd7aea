"""docs/models.md: the families, and every published network with our counts."""

from reslab.cli.docs import glossary, markdown
from reslab.cli.text import flow

PAGE = "docs/models.md"
INTRODUCTION = """\
# Models

Made by `reslab docs`; do not edit. `reslab models` prints the families with their options,
`reslab fingerprint '{name: wrn, depth: 16, widening_factor: 4}'` the counts of one network. Both take
[your own networks](extending.md#your-own-code-without-editing-the-repository) and those of timm and torchvision, too.

## Families"""
PUBLISHED = """\
## Published networks

The counts are ours, and the tests hold them to the published ones. Fingerprint: under fixed weights the network's logits are those
of the published code, to nine digits. Multiply-adds are of one image; the receptive field, in pixels, is the theoretical one of the
last feature map."""


def page() -> str:
    """The whole page."""
    families = [
        {"`model.name`": f"[`{name}`](configuration.md#model-{name})", "network": sentence}
        for name, sentence in glossary.entries("model").items()
    ]
    return "\n\n".join([INTRODUCTION, markdown.table(families), PUBLISHED, markdown.table(_published_rows())]) + "\n"


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
