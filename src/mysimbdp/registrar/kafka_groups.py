"""The consumer groups of a tenant, when they are deleted."""

from __future__ import annotations

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient


def delete(admin: AdminClient, prefix: str) -> list[str]:
    """Delete all groups of a prefix; return those that still have members."""
    found = admin.list_consumer_groups().result().valid
    names = [group.group_id for group in found if group.group_id.startswith(prefix)]
    busy = []
    for name, future in (admin.delete_consumer_groups(names) if names else {}).items():
        try:
            future.result()
        except KafkaException as error:
            if error.args[0].code() == KafkaError.NON_EMPTY_GROUP:
                busy.append(name)
            elif error.args[0].code() != KafkaError.GROUP_ID_NOT_FOUND:
                raise
    return busy
