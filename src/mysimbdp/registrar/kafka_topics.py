"""The topics that tenants and the platform need. Only `delete` ever takes anything away."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

import attrs
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined] # it exports them without saying so
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    ResourceType,
)

from mysimbdp import naming
from mysimbdp.agreements.model import StreamLimits
from mysimbdp.pipelines.registration import TopicLayout
from mysimbdp.registrar import kafka_faults

_RETENTION = "retention.ms"
_METRICS_PARTITIONS = 4
_METRICS_RETENTION_MS = 7 * 24 * 3600 * 1000
#: The servers know best how many copies they keep.
_SERVERS_CHOICE = -1


@attrs.frozen
class Topic:
    """How a topic is, or should be; the retention is None where nobody looked."""

    name: str
    partitions: int
    retention_ms: int | None


@attrs.frozen
class Outcome:
    """What was changed, and what cannot be done, in words."""

    changes: tuple[str, ...]
    refusals: tuple[str, ...]


def of_tenant(
    tenant: str, limits: StreamLimits, layouts: Mapping[str, TopicLayout]
) -> tuple[Topic, ...]:
    """Return the topics of a tenant: those it registered, and the one for its own reports."""
    retention_ms = limits.retention.seconds * 1000
    partitions = {name: layout.partitions for name, layout in layouts.items()}
    return tuple(
        Topic(naming.topic(tenant, name), count, retention_ms)
        for name, count in (partitions | {naming.OWN_REPORTS: 1}).items()
    )


def of_platform() -> tuple[Topic, ...]:
    """Return the platform's own topics."""
    return (Topic(naming.METRICS_TOPIC, _METRICS_PARTITIONS, _METRICS_RETENTION_MS),)


def read(admin: AdminClient, patience_seconds: float) -> dict[str, Topic]:
    """Read which topics there are, without their retention."""
    found = admin.list_topics(timeout=patience_seconds).topics
    return {name: Topic(name, len(topic.partitions), None) for name, topic in found.items()}


def read_retention(
    admin: AdminClient, topics: Mapping[str, Topic], users: Collection[str]
) -> dict[str, Topic]:
    """Add the retention of the platform's and of these users' topics, all asked for at once."""
    prefixes = tuple(naming.kafka_prefix(user) for user in users if naming.is_tenant(user))
    ours = [name for name in topics if name == naming.METRICS_TOPIC or name.startswith(prefixes)]
    if not ours:
        return dict(topics)
    futures = admin.describe_configs([ConfigResource(ResourceType.TOPIC, name) for name in ours])
    retention_ms = {
        resource.name: int(future.result()[_RETENTION].value)
        for resource, future in futures.items()
    }
    return {
        name: attrs.evolve(topic, retention_ms=retention_ms.get(name))
        for name, topic in topics.items()
    }


def ensure(admin: AdminClient, seen: Mapping[str, Topic], wished: Sequence[Topic]) -> Outcome:
    """Make what is missing, and correct partitions and retention; one topic stops no other."""
    changes: list[str] = []
    refusals: list[str] = []
    for topic in wished:
        now = seen.get(topic.name)
        try:
            changes += [_make(admin, topic)] if now is None else _correct(admin, now, topic)
        except KafkaException as error:
            if kafka_faults.is_passing(error):
                raise
            reason = kafka_faults.reason(error)
            refusals.append(f"The topic {topic.name} cannot be as registered: {reason}.")
        if now is not None and now.partitions > topic.partitions:
            refusals.append(
                f"The topic {topic.name} has {now.partitions} partitions, expected "
                f"{topic.partitions} as registered: partitions cannot be taken away. Register "
                f"{now.partitions}, or a topic of another name."
            )
    return Outcome(tuple(changes), tuple(refusals))


def delete(admin: AdminClient, prefix: str, patience_seconds: float) -> None:
    """Delete all topics of a prefix, with their messages."""
    names = [
        name
        for name in admin.list_topics(timeout=patience_seconds).topics
        if name.startswith(prefix)
    ]
    for future in (admin.delete_topics(names) if names else {}).values():
        try:
            future.result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise


def _make(admin: AdminClient, topic: Topic) -> str:
    new = NewTopic(
        topic.name,
        num_partitions=topic.partitions,
        replication_factor=_SERVERS_CHOICE,
        config={_RETENTION: str(topic.retention_ms)},
    )
    try:
        admin.create_topics([new])[topic.name].result()
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise
    return f"topic {topic.name} made"


def _correct(admin: AdminClient, now: Topic, topic: Topic) -> Iterator[str]:
    if now.partitions < topic.partitions:
        more = NewPartitions(topic.name, topic.partitions)
        admin.create_partitions([more])[topic.name].result()
        yield f"topic {topic.name} extended to {topic.partitions} partitions"
    if now.retention_ms != topic.retention_ms:
        entry = ConfigEntry(
            _RETENTION, str(topic.retention_ms), incremental_operation=AlterConfigOpType.SET
        )
        resource = ConfigResource(ResourceType.TOPIC, topic.name, incremental_configs=[entry])
        for future in admin.incremental_alter_configs([resource]).values():
            future.result()
        yield f"retention of topic {topic.name} corrected"
