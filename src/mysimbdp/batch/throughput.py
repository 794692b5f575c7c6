"""One token bucket a tenant, shared by all its running ingestions wherever they run."""

from __future__ import annotations

from typing import Any, cast

import attrs
import pymongo
from pymongo.collection import Collection

from mysimbdp.sinks.drivers import translated


@attrs.frozen
class Throughput:
    """Hand out a tenant's agreed bytes per second, in the order of asking.

    The bucket is the moment at which the bytes handed out so far are paid for, kept by the server's
    clock. It never fills while idle, so the agreed figure holds over any stretch of time.
    """

    buckets: Collection[Any]
    tenant: str
    bytes_per_second: int

    def wait_seconds(self, wanted_bytes: int) -> float:
        """Reserve bytes and return how long to wait before moving them. Called by any thread."""
        cost_ms = round(wanted_bytes / self.bytes_per_second * 1000)
        begin = {"$max": [{"$ifNull": ["$paid_until", "$$NOW"]}, "$$NOW"]}
        with translated(f"reserving throughput for {self.tenant}"):
            bucket = cast(
                "dict[str, Any]",
                self.buckets.find_one_and_update(
                    {"_id": self.tenant},
                    [{"$set": {"paid_until": {"$add": [begin, cost_ms]}, "asked_at": "$$NOW"}}],
                    upsert=True,
                    return_document=pymongo.ReturnDocument.AFTER,
                ),
            )
        return float((bucket["paid_until"] - bucket["asked_at"]).total_seconds())
