"""Messages that are ingested together."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import attrs
import numpy as np
import pyarrow as pa

from mysimbdp import naming
from mysimbdp.pipelines import stream_protocol


class Partition(NamedTuple):
    """One partition of a topic; the topic with the tenant's prefix, as Kafka has it."""

    topic: str
    number: int


@attrs.frozen(kw_only=True)
class Batch:
    """A batch in the order in which its messages were taken.

    Attributes:
        partitions: those that have messages in it.
        places: index into `partitions` of each message.
        offsets: of each message.
        timestamps: when each was produced, milliseconds since 1970.
        values: of each message; None for one without.
        packed: what goes to the child.
        taken_at: when they were, monotonic.

    """

    partitions: tuple[Partition, ...]
    places: np.ndarray[Any, Any]
    offsets: np.ndarray[Any, Any]
    timestamps: np.ndarray[Any, Any]
    values: list[bytes | None]
    size_bytes: int
    packed: pa.Buffer
    taken_at: float = attrs.field(factory=time.monotonic)

    def __len__(self) -> int:
        return len(self.offsets)

    def ends(self) -> dict[Partition, int]:
        """Say for each partition where to go on after this batch."""
        return {
            partition: int(self.offsets[self.places == place].max()) + 1
            for place, partition in enumerate(self.partitions)
        }


def make(messages: Sequence[Any], *, tenant: str, whole: bool) -> Batch:
    """Make a batch of Kafka's messages.

    Args:
        messages: `confluent_kafka.Message` values without errors, at least one.
        tenant: whose.
        whole: the child gets keys, headers and positions too.

    """
    places: dict[tuple[str, int], int] = {}
    at = [places.setdefault((m.topic(), m.partition()), len(places)) for m in messages]
    offsets = [message.offset() for message in messages]
    timestamps = [message.timestamp()[1] for message in messages]
    values = [message.value() for message in messages]
    return Batch(
        partitions=tuple(Partition(*place) for place in places),
        places=np.array(at, dtype=np.int64),
        offsets=np.array(offsets, dtype=np.int64),
        timestamps=np.array(timestamps, dtype=np.int64),
        values=values,
        size_bytes=sum(map(len, messages)),
        packed=_pack_whole(messages, tenant) if whole else stream_protocol.pack_values(values),
    )


def _pack_whole(messages: Sequence[Any], tenant: str) -> pa.Buffer:
    prefix = naming.kafka_prefix(tenant)
    return stream_protocol.pack_messages(
        [
            [message.topic().removeprefix(prefix) for message in messages],
            [message.partition() for message in messages],
            [message.offset() for message in messages],
            [message.timestamp()[1] for message in messages],
            [message.key() for message in messages],
            [message.value() for message in messages],
            [
                [{"name": name, "value": value} for name, value in message.headers() or ()]
                for message in messages
            ],
        ]
    )
