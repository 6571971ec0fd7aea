"""MLflow: a view of the records on disk. The only package that imports mlflow; nothing else needs it to be there.

MLflow experiment = study; in it one run an experiment, and nested in that one run a trained network. Logging again what is there
changes nothing.
"""

from reslab.tracking.address import tracking_uri
from reslab.tracking.background import BackgroundLog
from reslab.tracking.mlflow_store import Store
from reslab.tracking.networks import TrainedNetwork
from reslab.tracking.patience import attempt
from reslab.tracking.results import ExperimentResult, read_results

__all__ = ["BackgroundLog", "ExperimentResult", "Store", "TrainedNetwork", "attempt", "read_results", "tracking_uri"]
