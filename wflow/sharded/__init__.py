"""One run of more neurons than a machine holds: shards that stay where they are, and outputs that travel."""

from wflow.sharded.files import frames, read_shard
from wflow.sharded.result import ShardedRun, load
from wflow.sharded.solve import solve

__all__ = ["ShardedRun", "frames", "load", "read_shard", "solve"]
