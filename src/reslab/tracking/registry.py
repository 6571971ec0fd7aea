"""MLflow's model registry: which network of a study goes there, and how it is packed."""

import math
from typing import Any

from reslab.errors import UserError
from reslab.tracking.mlflow_store import Store
from reslab.tracking.networks import TrainedNetwork, network_key

SELECTOR = "validation_error"


def best(networks: list[TrainedNetwork], study: str) -> TrainedNetwork:
    """The network with the lowest validation error after the last epoch; of equals the one with the lower validation loss.

    Raises UserError without a validation split: the test set selects nothing, or its error would be no estimate any more.
    """
    if not networks:
        raise UserError(f"study {study}: no trained networks to choose from; run `dvc repro`")
    scored = [(network, rank(network.record)) for network in networks if network.record["status"] != "diverged"]
    if not scored:
        raise UserError(f"study {study}: all {len(networks)} networks diverged; none is left to register")
    if any(place[0] == math.inf for _, place in scored):
        raise UserError(
            f"study {study}: --best needs a validation split, because the test set selects nothing: set `dataset.validation` in "
            "params.yaml, or name the network: `reslab register EXPERIMENT --seed SEED`"
        )
    return min(scored, key=lambda pair: pair[1])[0]


def rank(record: dict[str, Any]) -> tuple[float, float]:
    """Validation error, then validation loss; infinite where there is none."""
    error, loss = (record.get(key) for key in (SELECTOR, "validation_loss"))
    return (math.inf if error is None else error, math.inf if loss is None else loss)


def register(store: Store, network: TrainedNetwork, classifier: Any, example: Any, *, name: str, facts: dict[str, Any]) -> str:
    """Add a network to the registry as `name` and return the version.

    `classifier` is a torch module, `example` a numpy batch of two or more that it takes; both decide the signature, of which
    the batch size stays open. What is stored is torch's exported graph: to serve it takes torch and MLflow, not this package.
    `facts` are stored beside it.
    """
    import mlflow
    import mlflow.pytorch

    run_id = store.log(network)
    store.client.list_artifacts(run_id)  # asked before: a place for files that is silent is given up here, and waited for below
    end_time = store.client.get_run(run_id).info.end_time
    mlflow.set_tracking_uri(store.uri)
    with mlflow.start_run(run_id=run_id):
        logged = mlflow.pytorch.log_model(
            classifier,
            name="model",
            input_example=example,
            registered_model_name=name,
            serialization_format="pt2",
            pip_requirements=[f"torch=={network.record['torch'].split('+')[0]}", "numpy"],
            metadata=facts,
        )
    store.client.set_terminated(run_id, "FINISHED", end_time=end_time)  # the run did not last until today
    version = str(logged.registered_model_version)
    for key, value in version_tags(network).items():
        store.client.set_model_version_tag(name, version, key, value)
    return version


def version_tags(network: TrainedNetwork) -> dict[str, str]:
    """The tags of a version on the registry's page: the network and its errors after the last epoch."""
    record = network.record
    tags = {"network": network_key(network.experiment, record), "experiment": network.experiment, "seed": str(record["seed"])}
    return tags | {key: f"{record[key]:.6g}" for key in (SELECTOR, "test_error") if record.get(key) is not None}
