"""Commands around MLflow: logging again what is on disk, and the model registry."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reslab import config
from reslab.cli.app import UPKEEP, WEIGHTS, app
from reslab.cli.options import Params, experiment_names
from reslab.environment import project_root
from reslab.errors import UserError

if TYPE_CHECKING:  # it would slow down --help
    from reslab.tracking import TrainedNetwork

Runs = Annotated[Path, typer.Option(help="Where train put the networks.")]


@app.command(rich_help_panel=UPKEEP)
def relog(
    runs: Runs = Path("data/runs"),
    metrics: Annotated[Path, typer.Option(help="Where evaluate and aggregate put their numbers.")] = Path("metrics"),
    params: Params = Path("params.yaml"),
) -> None:
    """Log the study to MLflow: its networks, scores, statistics and tables; what is there already is left as it is."""
    from reslab.tracking import Store, read_results, tracking_uri, views
    from reslab.tracking.address import is_http, without_secrets
    from reslab.tracking.patience import required

    study = config.load(params)
    networks = networks_of(study, runs)
    results = read_results(study, metrics)

    def log() -> Store:
        opened = Store(project_root(), study.name)
        for network in networks:
            opened.log(network)
        if (metrics / "tables").exists():
            opened.log_report([metrics / "tables", metrics / "plots"])
        try:
            opened.log_results(results)
        except UserError as error:
            raise UserError(f"{error}: recorded in {metrics}/runs, but not in {runs}; run `dvc pull` or `dvc repro`") from error
        return opened

    opened = required(log, tracking_uri(project_root()))
    print(f"{len(networks)} networks of the study {study.name} are in MLflow")
    if results:
        uri = without_secrets(opened.uri)
        first = [] if is_http(uri) else ["`make ui`, then"]
        print(*first, *views.addresses(uri, opened.experiment_id), sep="\n")


def networks_of(study: config.Study, runs: Path) -> list["TrainedNetwork"]:
    """The trained networks of the study in `runs`."""
    folders = [(name, folder) for name in study.experiments for folder in sorted(runs.joinpath(name).glob("seed*"))]
    return [read_network(study, name, folder) for name, folder in folders]


def read_network(study: config.Study, experiment: str, folder: Path) -> "TrainedNetwork":
    """The trained network in a seed's folder; raises UserError if it is another experiment's, or another seed's."""
    from reslab.report.trained_as import check_network
    from reslab.tracking import TrainedNetwork

    found, seed = TrainedNetwork.read(experiment, folder), folder.name.removeprefix("seed")
    check_network(found.record, study, experiment, folder, seed=int(seed) if seed.isdecimal() else None)
    return found


@app.command(rich_help_panel=WEIGHTS)
def register(
    experiment: Annotated[
        str | None, typer.Argument(help="One of params.yaml's experiments, trained.", autocompletion=experiment_names)
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Which of its networks.", show_default="0")] = None,
    best: Annotated[bool, typer.Option("--best", help="The study's network with the lowest validation error instead.")] = False,
    runs: Runs = Path("data/runs"),
    params: Params = Path("params.yaml"),
) -> None:
    """Put a trained network into MLflow's model registry, with its normalisation: it takes pixels 0..255.

    It is called STUDY-EXPERIMENT, or STUDY-best. `mlflow models predict` and `mlflow models serve` take it as it is.
    """
    study = config.load(params)
    network = chosen(study, runs, experiment, seed, best=best)
    name = f"{study.name}-{'best' if best else network.experiment}"
    version = put_into_registry(study, network, name)
    if best:
        print(f"{network.name}: validation error {network.record['validation_error']:.2%}")
    print(f"models:/{name}/{version}")


def chosen(study: config.Study, runs: Path, experiment: str | None, seed: int | None, *, best: bool) -> "TrainedNetwork":
    """The chosen network; raises UserError for an unknown experiment, or if --best is given with EXPERIMENT or --seed."""
    from reslab.tracking import registry

    if best:
        if experiment is not None or seed is not None:
            raise UserError("--best chooses by validation error: leave out EXPERIMENT and --seed")
        return registry.best(networks_of(study, runs), study.name)
    if experiment is None:
        raise UserError(f"which network? EXPERIMENT is one of {', '.join(study.experiments)}; or --best")
    study.experiment(experiment)
    return read_network(study, experiment, runs / experiment / f"seed{seed or 0}")


def put_into_registry(study: config.Study, network: "TrainedNetwork", name: str) -> str:
    """Register a network under a name and return its version."""
    import numpy as np

    from reslab.tracking import Store, registry, tracking_uri
    from reslab.tracking.patience import required
    from reslab.weights.network import load_network

    stored = load_network(network.folder)
    example = np.zeros((2, *stored.facts["image_shape"]), dtype=np.float32)
    facts = {"class_names": stored.facts["class_names"], "input": "float32 pixels 0..255 (B, C, H, W)", "output": "logits"}

    def register() -> str:
        return registry.register(Store(project_root(), study.name), network, stored.classifier, example, name=name, facts=facts)

    return required(register, tracking_uri(project_root()))
