"""What a release holds beside the weights: a card for each network, a list of all, the study, one's own code, checksums."""

from pathlib import Path

import pandas as pd

from reslab.config import plugins
from reslab.config.settings import flatten, flow
from reslab.config.study import Study
from reslab.errors import UserError
from reslab.experiment import own_code
from reslab.report.statistics.summary import network_scores, summarize
from reslab.report.tables.cells import interval, mean_and_std, numbers, percent, render, words
from reslab.runs import checksums, network_files
from reslab.runs.network_files import RECORD, WEIGHTS
from reslab.weights.network import read_network

CARD = """---
license: {licence}
library_name: reslab
tags: [image-classification, {family}]
datasets: [{dataset}]
metrics: [error]
---
# {name}

A {family} of {parameters:,} parameters, trained by reslab for the study `{study}`{title}.

| | |
|---|---|
| test error | {error} %, 95 % interval over test images {interval} |
| of its experiment | {experiment_error} % (mean ± std of {n} seeds that trained, of {seeds}) |
| images | {shape} (channels, height, width), {classes} classes |
| dataset | {dataset}, sha256 {checksum} |
| trained at | commit {commit}{dirty}, torch {torch}, {device}, {precision} |
{own_code}
The error is that of the last epoch. It holds for images of this dataset, prepared as its `normalize` says; the file of weights has
the class names and the normalisation, and takes pixels of 0..255.

## Use
{needs}
```sh
reslab predict {archive}/{name} image.png
reslab score {archive}/{name}
reslab import-weights {archive}/{name} EXPERIMENT --key-map reslab
```

## Settings

```yaml
{settings}
```

## Licence

{licence}, for these weights. What the dataset's own licence asks of models trained on it holds as well.
"""


def files(study: Study, runs: pd.DataFrame, folder: Path, *, archive: str, licence: str, params: Path) -> dict[str, bytes | Path]:
    """Name in the archive -> content, of all networks that trained; raises UserError if one is missing or damaged."""
    scores = network_scores(runs).set_index(["experiment", "seed"])
    summary = summarize(study, runs).set_index("experiment")
    trained = [run for run in runs.to_dict("records") if run["status"] == "finished"]
    if not trained:
        raise UserError("no network of the study trained: there is nothing to release")
    found: dict[str, bytes | Path] = {}
    for run in trained:
        name, at = name_of(run), folder / run["experiment"] / f"seed{run['seed']}"
        described = read_network(at, older=False).description
        record = network_files.read(at)[0]
        same_weights = network_files.checksum_of(record, WEIGHTS) == network_files.checksum_of(run, WEIGHTS)
        if record["identity"] != run["identity"] or not same_weights:
            raise UserError(f"{at}: not the network that the study's records tell of; run `dvc checkout` or `dvc repro`")
        card = card_of(study, run, described, scores.loc[run["experiment"], run["seed"]], summary.loc[run["experiment"]])
        sources = own_sources(described, at)
        card |= own_code_in_card(sources)
        found |= {f"{name}/{WEIGHTS}": at / WEIGHTS, f"{name}/{RECORD}": at / RECORD}
        found |= {path.as_posix(): path for paths in sources.values() for path in paths}
        found[f"{name}/README.md"] = CARD.format(**card, archive=archive, licence=licence).encode()
    found["README.md"] = index(study, trained, scores, licence).encode()
    found["params.yaml"] = params
    return {**found, "SHA256SUMS": sums(found)}


def name_of(run: dict) -> str:
    """The folder of a network in the archive."""
    return f"{run['experiment']}-s{run['seed']}"


def own_sources(described: dict, at: Path) -> dict[str, list[Path]]:
    """Each name of one's own code that a network was trained with -> its files in plugins/, none for code of a package.

    Raises UserError if the code does something else by now.
    """
    known = described.get(own_code.KEY) or {}
    for name, checksum in own_code.checksums_of(known).items():
        if checksum != known[name]:
            raise UserError(f"{at}: the code of {name} was changed since it was trained; put it back, or run `dvc repro`")
    names = [name for name in known if plugins.plugin_file(name.partition(":")[0])]
    return {name: plugins.sources(name, name) if name in names else [] for name in known}


def own_code_in_card(sources: dict[str, list[Path]]) -> dict[str, str]:
    """What a card says of one's own code."""
    rows = [f"| code | `{name}`, {', '.join(map(str, paths)) or 'of an installed package'} |\n" for name, paths in sources.items()]
    files = sorted({str(path) for paths in sources.values() for path in paths})
    needs = (
        f"\nIts code is in the archive: read it, then put {', '.join(files)} into a project of reslab. Nothing of it runs before.\n"
    )
    return {"own_code": "".join(rows), "needs": needs if files else ""}


def card_of(study: Study, run: dict, described: dict, score: pd.Series, experiment: pd.Series) -> dict:
    """What the card of a network says."""
    facts, settings = described["dataset"], flatten(run["config"])
    return {
        "name": name_of(run),
        "family": run["config"]["model"]["name"],
        "parameters": run["parameters"],
        "study": study.name,
        "title": f" ({study.report.title})" if study.report.title else "",
        "error": percent(score["test_error"]),
        "interval": interval(score["images_low"], score["images_high"]).text or "unknown",
        "experiment_error": mean_and_std(experiment["mean"], experiment["std"]).text,
        "n": experiment["n"],
        "seeds": len(study.seeds),
        "shape": " x ".join(map(str, facts["image_shape"])),
        "classes": len(facts["class_names"]),
        "dataset": run["dataset"]["name"],
        "checksum": run["dataset_checksum"],
        "commit": run.get("commit") or "unknown",
        "dirty": " with uncommitted changes" if run.get("dirty") else "",
        **{key: run.get(key, "unknown") for key in ("torch", "device", "precision")},
        "settings": "\n".join(f"{path}: {flow(value)}" for path, value in settings.items()),
    }


def index(study: Study, trained: list[dict], scores: pd.DataFrame, licence: str) -> str:
    """The list of all networks of a release."""
    rows = [scores.loc[run["experiment"], run["seed"]] for run in trained]
    columns = {
        "network": words(name_of(run) for run in trained),
        "parameters": numbers((run["parameters"] for run in trained), "{:,}"),
        "test error %": words(percent(row["test_error"]) for row in rows),
        "95 % interval over images": [interval(row["images_low"], row["images_high"]) for row in rows],
    }
    left_out = len(study.experiments) * len(study.seeds) - len(trained)
    note = f"Licence of the weights: {licence}. Each folder has a card. `sha256sum --check SHA256SUMS` verifies the files."
    if left_out:
        note += f" {left_out} network(s) that diverged or did not train are not in it."
    return render(columns, title=study.report.title or study.name, note=note)


def sums(found: dict[str, bytes | Path]) -> bytes:
    """The sha256 of every file, in the form that `sha256sum --check` reads."""
    listed = {
        name: checksums.of_file(content) if isinstance(content, Path) else checksums.of_bytes(content)
        for name, content in found.items()
    }
    return "".join(f"{checksum}  {name}\n" for name, checksum in listed.items()).encode()
