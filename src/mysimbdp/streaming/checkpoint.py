"""Where each partition goes on: the platform's own memory, beside Kafka's committed offsets.

Kafka forgets offsets that are not used for long and those of a deleted topic. This memory has the
topic's id, so that a topic which was deleted and made again is not taken for the same one.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import attrs
import pymongo
from pymongo.collection import Collection
from pymongo.database import Database

from mysimbdp import naming
from mysimbdp.sinks.drivers import translated
from mysimbdp.streaming.batch import Partition
from mysimbdp.streaming.causes import Cause, stopped


@attrs.frozen(kw_only=True)
class Checkpoint:
    """What was known of a partition when it was last left: its topic's id, and where to go on."""

    topic_id: str
    offset: int


@attrs.frozen(kw_only=True)
class Found:
    """What Kafka says of a partition now: the oldest message it has, and the end."""

    topic_id: str
    committed: int | None
    low: int
    high: int


def choose_start(partition: Partition, known: Checkpoint | None, found: Found) -> int:
    """Say where a partition is read on; the first time, from the oldest message that there is.

    Raises:
        StreamStoppedError: messages are missing or are other ones than before.

    """
    name = f"{partition.topic}, partition {partition.number}"
    if known is not None and known.topic_id != found.topic_id:
        raise stopped(
            Cause.TOPIC_RECREATED,
            f"The topic of {name} was deleted and made again: expected the topic {known.topic_id}, "
            f"found {found.topic_id}. What it holds now was never read. To read it from its "
            "oldest message: mysimbdp streams reset, then start.",
        )
    marks = [
        mark for mark in (found.committed, known.offset if known else None) if mark is not None
    ]
    if not marks:
        return found.low
    start = max(marks)
    if start < found.low:
        raise stopped(
            Cause.TOPIC_TRUNCATED,
            f"{found.low - start} messages of {name} were deleted before they were read: expected "
            f"to go on at offset {start}, the oldest one kept is {found.low}. To go on with what "
            "there is: mysimbdp streams reset, then start.",
        )
    if start > found.high:
        raise stopped(
            Cause.TOPIC_TRUNCATED,
            f"{name} ends at offset {found.high}, although it was read up to {start}: it lost "
            "messages at its end. To go on with what there is: mysimbdp streams reset, then start.",
        )
    return start


@attrs.frozen
class CheckpointStore:
    """The collection `checkpoints` of the platform, for one stream app."""

    platform: Database[Any]
    tenant: str
    app: str

    @property
    def _checkpoints(self) -> Collection[Any]:
        return self.platform["checkpoints"]

    def read(self) -> dict[Partition, Checkpoint]:
        """Return what is known of the app's partitions."""
        with translated(f"reading the checkpoints of {self._name}"):
            return {
                Partition(one["topic"], one["partition"]): Checkpoint(
                    topic_id=one["topic_id"], offset=one["offset"]
                )
                for one in self._checkpoints.find({"tenant": self.tenant, "app": self.app})
            }

    def write(self, positions: Mapping[Partition, int], topic_ids: Mapping[str, str]) -> None:
        """Keep where each partition goes on; an older position never replaces a newer one."""
        now = datetime.now(UTC)
        operations: list[pymongo.UpdateOne] = [
            pymongo.UpdateOne(
                {"_id": f"{self._name}/{topic}/{number}"},
                {
                    "$set": {
                        "tenant": self.tenant,
                        "app": self.app,
                        "topic": topic,
                        "partition": number,
                        "topic_id": topic_ids[topic],
                        "at": now,
                    },
                    "$max": {"offset": offset},
                },
                upsert=True,
            )
            for (topic, number), offset in positions.items()
        ]
        if operations:
            with translated(f"keeping the checkpoints of {self._name}"):
                self._checkpoints.bulk_write(operations, ordered=False)

    def reset(self) -> int:
        """Forget all of them; return how many there were."""
        with translated(f"forgetting the checkpoints of {self._name}"):
            found = self._checkpoints.delete_many({"tenant": self.tenant, "app": self.app})
        return int(found.deleted_count)

    @property
    def _name(self) -> str:
        return naming.stream_app(self.tenant, self.app)
