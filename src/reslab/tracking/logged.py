"""Whether a network is in the project's own MLflow store already, found out without MLflow, which takes over a second to load."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from reslab.errors import UserError
from reslab.tracking import opening
from reslab.tracking.address import FILE, VARIABLE
from reslab.tracking.networks import PARENT, RUN_KEY, STATUS, TrainedNetwork, experiment_key

# Tables of MLflow's store. The run of the network is finished or diverged, below that of its experiment, and none was deleted.
FIND = f"""
SELECT network.run_uuid FROM experiments AS study
JOIN runs AS network ON network.experiment_id = study.experiment_id
JOIN tags AS own ON own.run_uuid = network.run_uuid AND own.key = '{RUN_KEY}'
JOIN tags AS link ON link.run_uuid = network.run_uuid AND link.key = '{PARENT}'
JOIN runs AS above ON above.run_uuid = link.value
JOIN tags AS theirs ON theirs.run_uuid = above.run_uuid AND theirs.key = '{RUN_KEY}'
WHERE study.name = :study AND own.value = :network AND theirs.value = :experiment AND study.lifecycle_stage = 'active'
AND network.lifecycle_stage = 'active' AND (network.status = 'FINISHED' OR (network.status = 'FAILED' AND EXISTS
  (SELECT 1 FROM tags WHERE run_uuid = network.run_uuid AND key = '{STATUS}' AND value = 'diverged')))
AND above.lifecycle_stage = 'active' AND above.status = 'FINISHED'
"""


def is_logged(root: Path, study: str, network: TrainedNetwork) -> bool:
    """Whether all of a network is there. False in doubt: for another store, or one that cannot be read, MLflow is to answer."""
    path = root / FILE
    if os.environ.get(VARIABLE) or not path.is_file():
        return False
    keys = {"study": study, "network": network.key, "experiment": experiment_key(network.experiment, network.record)}
    try:
        opening.check_parts(path)
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=1)) as store:
            return store.execute(FIND, keys).fetchone() is not None
    except (sqlite3.Error, UserError):
        return False
