"""``python -m peerkd stage``, but the worker regards another one as lost after 3 seconds instead of 45."""

from peerkd.cli.main import main
from peerkd.stages import shard_queue
from peerkd.stages.shard_claims import ShardClaims

ShardClaims.__init__.__kwdefaults__["stale_seconds"] = 3.0
shard_queue.HEARTBEAT_SECONDS = 0.5  # type: ignore[attr-defined, misc]

if __name__ == "__main__":
    main()
