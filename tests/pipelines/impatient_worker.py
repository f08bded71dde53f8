"""``python -m peerkd stage``, but the worker regards another one as lost after 3 seconds instead of 45.

The variable ``SECONDS_PER_RECORD`` makes the worker sleep after each result. A short experiment then lasts long enough
to be disturbed, while other tests use the processor.
"""

import os
import time

from peerkd.cli.main import main
from peerkd.results.journal import Journal
from peerkd.stages import shard_queue
from peerkd.stages.shard_claims import ShardClaims

ShardClaims.__init__.__kwdefaults__["stale_seconds"] = 3.0
shard_queue.HEARTBEAT_SECONDS = 0.5  # type: ignore[attr-defined, misc]

if seconds := float(os.environ.get("SECONDS_PER_RECORD", "0")):
    append = Journal.append

    def append_and_sleep(journal: Journal, record) -> None:
        append(journal, record)
        time.sleep(seconds)

    Journal.append = append_and_sleep  # type: ignore[method-assign]

if __name__ == "__main__":
    main()
