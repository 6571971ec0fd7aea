"""How torchrun's processes meet: in a part of its store that is theirs alone, for the store outlives them.

After a restart it still holds the addresses of the processes that were there before, and torch would call those.
"""

import time
from datetime import timedelta
from uuid import uuid4

from torch import distributed

from reslab import stop
from reslab.runs.ranks import Ranks

SECONDS_BETWEEN_LOOKS = 0.05


def own_part(store: distributed.Store, ranks: Ranks, limit: timedelta) -> distributed.Store:
    """A part of the store that only the processes of this start have; raises DistError if they do not all come within the limit.

    Process 0 draws its name, and answers with it whoever calls. A call has a name of the caller's own, so that an answer is never
    one from before; process 0 may hear calls from before, and answers until all have confirmed the new name.
    """
    if not ranks.first:
        me = uuid4().hex
        store.set(f"reslab/call/{ranks.rank}", me)
        name = store.get(f"reslab/answer/{me}").decode()
        store.set(f"reslab/here/{name}/{ranks.rank}", "")
        return distributed.PrefixStore(name, store)
    name, missing, deadline = uuid4().hex, set(range(1, ranks.count)), time.monotonic() + limit.total_seconds()
    while True:
        for rank in missing:
            if store.check([f"reslab/call/{rank}"]):
                store.set(f"reslab/answer/{store.get(f'reslab/call/{rank}').decode()}", name)
        missing = {rank for rank in missing if not store.check([f"reslab/here/{name}/{rank}"])}
        if not missing:
            return distributed.PrefixStore(name, store)
        if time.monotonic() > deadline:
            raise distributed.DistStoreError(f"process {', '.join(map(str, sorted(missing)))} did not come")
        stop.check()
        time.sleep(SECONDS_BETWEEN_LOOKS)
