"""The command that trains networks again and compares them with their committed records."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reslab import config
from reslab.cli.app import USE, app
from reslab.cli.options import PREPARED, kept_names, names_in, seed_list
from reslab.cli.text import print_rows
from reslab.config import library, plugins
from reslab.config.start import as_written
from reslab.config.study import Study
from reslab.errors import UserError, shown

if TYPE_CHECKING:  # it loads torch
    from reslab.weights.again import Again

RESULTS, PARAMS = Path("results"), Path("params.yaml")
DIFFERENT = 2  # the exit status; 1 is an error


@app.command(rich_help_panel=USE)
def verify(
    study: Annotated[
        str | None,
        typer.Argument(
            help="A study in results/, or its folder.",
            show_default="the study of params.yaml, in metrics/",
            autocompletion=kept_names,
        ),
    ] = None,
    rows: Annotated[
        str | None, typer.Option(help="Only these experiments: names or patterns, such as 'resnet020*'.", show_default="all")
    ] = None,
    seeds: Annotated[str | None, typer.Option(help="Only these seeds, such as 0,1.", show_default="all")] = None,
    data: Annotated[Path, typer.Option(help="The prepared dataset; made anew if it is not that of the records.")] = PREPARED,
    run_code: Annotated[bool, typer.Option("--run-code", help="Run the code that another study names: module:function.")] = False,
) -> None:
    """Train networks of committed records again and say whether they are the same to the bit, or how far off.

    Exit status: 0 if all are the same, 2 if one differs, 1 for an error. Nothing of the project is changed.
    """
    from reslab.data import prepared
    from reslab.runs.progress import display
    from reslab.weights import again

    folder, params = _place(study)
    loaded = config.load(params)
    experiments = library.matching(loaded.experiments, names_in(rows)) if rows is not None else list(loaded.experiments)
    if params != PARAMS and not run_code:
        _refuse_code(loaded, experiments, params)
    networks = again.committed(folder, experiments, seed_list(seeds))
    if not networks:
        raise UserError(f"{folder}: no record of seed {seeds}; it has those of {', '.join(map(str, loaded.seeds))}")
    for network in networks:
        sections = loaded.experiments[network.experiment].sections
        if as_written(network.record["config"]) != as_written(sections):
            raise UserError(f"{network.experiment}: {params} is not what the record in {folder} was trained with; run `dvc repro`")
    with _prepared(loaded, networks[0].record["dataset_checksum"], data) as place:
        images = prepared.load(place)
        expected = {network.experiment: network.record["identity"] for network in networks}
        described = {
            name: again.described(loaded, name, images, folder / "models" / f"{name}.json", identity)
            for name, identity in expected.items()
        }
        with display(f"{loaded.name} again", sorted({network.seed for network in networks})) as shown:
            found = list(again.train_again(networks, described, place, shown))
    _report(found)
    if not all(one.same for one in found):
        raise typer.Exit(DIFFERENT)


def _refuse_code(study: Study, experiments: list[str], params: Path) -> None:
    """Raise UserError if a study that may be a stranger's names code, which may do anything on this machine."""
    from reslab.models.peers import PEERS

    sections = [{"dataset": study.dataset}, *(study.experiments[name].sections for name in experiments)]
    peers = {f"{library}:" for library in PEERS}  # their networks are looked up in their own lists
    without = [
        each | {"model": {}} if each.get("model", {}).get("name", "").startswith(tuple(peers)) else each for each in sections
    ]
    if named := sorted({name for each in without for name in plugins.names_in(each)}):
        raise UserError(
            f"{params}: names code that would run here: {', '.join(map(shown, named[:3]))}{', ...' if len(named) > 3 else ''}; "
            "if you know it and trust whose study it is, add --run-code"
        )


def _place(study: str | None) -> tuple[Path, Path]:
    """The folder of the records and the params.yaml that made them; raises UserError if there are none."""
    if study is None or (PARAMS.is_file() and config.load(PARAMS).name == study):
        return Path("metrics"), PARAMS
    for folder in (RESULTS / study, Path(study)):
        if (folder / PARAMS).is_file():
            return folder, folder / PARAMS
    kept = ", ".join(sorted(path.parent.name for path in RESULTS.glob("*/params.yaml"))) or "none"
    raise UserError(f"study {study}: not that of params.yaml, and not in {RESULTS}/, which has: {kept}")


@contextmanager
def _prepared(study: Study, expected: str, data: Path) -> Iterator[Path]:
    """The prepared dataset that the records tell of: `data` if it is that, else made in a folder that is deleted again.

    Raises UserError if the dataset of today is another one.
    """
    from reslab.data import datasets, prepared
    from reslab.environment import cpu_count, decoders

    if (data / prepared.FACTS).is_file() and prepared.load(data).facts["checksum"] == expected:
        yield data
        return
    with tempfile.TemporaryDirectory(prefix="reslab-verify-") as name:
        raw, made = Path(name, "raw"), Path(name, "prepared")
        dataset = datasets.bound(study.dataset, "dataset")(raw)
        for line in dataset.fetch() or ():
            print(line)
        facts = prepared.save(
            dataset.read(), made, name=study.dataset["name"], validation=study.validation, workers=decoders(cpu_count())
        )
        if facts["checksum"] != expected:
            raise UserError(f"dataset {study.dataset['name']}: not the images that the records tell of (another checksum)")
        yield made


def _report(found: "list[Again]") -> None:
    """Print a row for each network, then in what the environments differ, then how many are the same."""
    order = sorted(found, key=lambda one: (one.committed.experiment, one.committed.seed))
    print_rows([_row(one) for one in order], csv=False)
    differ = {(key, str(then), str(now)) for one in found for key, then, now in one.environment()}
    for key, then, now in sorted(differ):
        print(f"{key}: {then} in the record, {now} here")
    print(f"{sum(one.same for one in found)} of {len(found)} networks are the same")


def _row(one: "Again") -> dict[str, str]:
    then, now = one.committed.record, one.record
    return {
        "experiment": one.committed.experiment,
        "seed": str(one.committed.seed),
        "verdict": _verdict(one),
        "record": _error(then),
        "here": _error(now),
        "points": f"{100 * one.difference:+.2f}",
        "std of seeds": "" if one.committed.spread != one.committed.spread else f"{100 * one.committed.spread:.2f}",
    }


def _error(record: dict) -> str:
    return "diverged" if record["status"] == "diverged" else f"{100 * record['test_error']:.2f} %"


def _verdict(one: "Again") -> str:
    if one.same_weights:
        return "identical bytes"
    first = one.first_difference
    return "identical losses and errors" if first is None else f"differs from epoch {first} on"
