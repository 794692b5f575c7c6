"""How far a consumer group is, asked of Kafka by somebody who is not a member."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any

import attrs
from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import (  # type: ignore[attr-defined] # it exports them without saying so
    AdminClient,
    OffsetSpec,
)

from mysimbdp import errors
from mysimbdp.messaging import Properties
from mysimbdp.streaming.batch import Partition
from mysimbdp.streaming.causes import Cause, stopped

_ASK_SECONDS = 3.0
#: One message of a partition is wanted, not all that fits.
_SAMPLE_BYTES = 16 * 1024
_MISSING = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC})  # noqa: SLF001
_log = logging.getLogger(__name__)


@attrs.frozen(kw_only=True)
class Place:
    """Where a group stands in one partition.

    Attributes:
        committed: the offset that it will read next; None if it never committed.
        first: the offset of the oldest message that is kept.
        end: the offset of the next message to come.

    """

    committed: int | None
    first: int
    end: int


class GroupView:
    """A view of one group on some topics. For one thread.

    Args:
        platform: login that may describe groups and topics.
        tenant: login that may read the topics; it samples single messages and commits nothing.
        group: the group that is looked at, with the tenant's prefix.
        topics: with the tenant's prefix.

    """

    def __init__(
        self, platform: Properties, tenant: Properties, group: str, topics: Sequence[str]
    ) -> None:
        self._group, self._topics = group, topics
        self._admin = AdminClient({**platform, "client.id": "mysimbdp-outside"}, logger=_log)
        # Neither of these ever joins the group. An AdminClient could ask as well, but its
        # list_consumer_group_offsets crashes this process while the group's coordinator starts or
        # moves (librdkafka issue 5040).
        passive = {"group.id": group, "enable.auto.commit": False}
        self._asker = Consumer({**platform, **passive}, logger=_log)
        self._reader = Consumer(
            {
                **tenant,
                **passive,
                "auto.offset.reset": "earliest",
                "max.partition.fetch.bytes": _SAMPLE_BYTES,
            },
            logger=_log,
        )

    def look(self) -> dict[Partition, Place]:
        """Ask where the group stands.

        Raises:
            ServiceUnavailableError: Kafka does not answer.
            StreamStoppedError: a topic does not exist, or the group is kept from us.

        """
        try:
            partitions = list(self._partitions())
            committed = self._committed(partitions)
            firsts = self._offsets(partitions, OffsetSpec.earliest())  # type: ignore[no-untyped-call]
            ends = self._offsets(partitions, OffsetSpec.latest())  # type: ignore[no-untyped-call]
        except KafkaException as error:
            raise errors.ServiceUnavailableError(
                f"Kafka does not say where {self._group} stands: {error.args[0].str()}."
            ) from error
        return {
            one: Place(committed=committed.get(one), first=firsts[one], end=ends[one])
            for one in partitions
        }

    def sent_at(self, partition: Partition, offset: int) -> float | None:
        """Tell when the message at that place was sent, in seconds since 1970; None if unknown."""
        try:
            self._reader.assign([TopicPartition(partition.topic, partition.number, offset)])
            message = self._reader.poll(_ASK_SECONDS)
            self._reader.unassign()
        except KafkaException as error:
            _log.warning("no message of %s can be read: %s", partition.topic, error)
            return None
        if message is None or message.error() is not None:
            return None
        return float(message.timestamp()[1]) / 1000

    def close(self) -> None:
        """End the connections."""
        self._asker.close()
        self._reader.close()

    def _partitions(self) -> Iterable[Partition]:
        for topic in self._topics:
            found = self._admin.list_topics(topic, timeout=_ASK_SECONDS).topics[topic]
            if found.error is not None and found.error.code() in _MISSING:
                raise stopped(
                    Cause.TOPIC_MISSING,
                    f"The topic {topic} does not exist. Register it under topics; the registrar "
                    "makes it.",
                )
            if found.error is not None:
                raise KafkaException(found.error)
            yield from (Partition(topic, number) for number in sorted(found.partitions))

    def _committed(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        found = self._asker.committed(_as_kafka(partitions), timeout=_ASK_SECONDS)
        if failed := [one.error for one in found if one.error is not None]:
            raise KafkaException(failed[0])
        return {Partition(one.topic, one.partition): one.offset for one in found if one.offset >= 0}

    def _offsets(self, partitions: Iterable[Partition], spec: Any) -> dict[Partition, int]:
        futures = self._admin.list_offsets(
            dict.fromkeys(_as_kafka(partitions), spec), request_timeout=_ASK_SECONDS
        )
        return {
            Partition(one.topic, one.partition): int(future.result().offset)
            for one, future in futures.items()
        }


def _as_kafka(partitions: Iterable[Partition]) -> list[TopicPartition]:
    return [TopicPartition(one.topic, one.number) for one in partitions]
