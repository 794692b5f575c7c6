"""Take a consumer group's positions away."""

from __future__ import annotations

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from mysimbdp import errors
from mysimbdp.messaging import Properties

_ASK_SECONDS = 15.0


def forget_group(login: Properties, group: str) -> None:
    """Delete a group with its offsets; one that does not exist is no error.

    Raises:
        UsageError: an instance is still in it.
        ServiceUnavailableError: Kafka does not answer.

    """
    admin = AdminClient({**login, "log_level": 0})
    try:
        admin.delete_consumer_groups([group], request_timeout=_ASK_SECONDS)[group].result()
    except KafkaException as error:
        code = error.args[0].code()
        if code == KafkaError.GROUP_ID_NOT_FOUND:
            return
        if code == KafkaError.NON_EMPTY_GROUP:
            raise errors.UsageError(
                f"The group {group} still has a member; try again in ten seconds."
            ) from error
        raise errors.ServiceUnavailableError(
            f"Kafka did not forget the group {group}: {error.args[0].str()}."
        ) from error
