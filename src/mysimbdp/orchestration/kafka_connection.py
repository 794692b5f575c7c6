"""Where tasks and triggers get their Kafka logins: from Airflow connections.

The extra of a connection holds the client properties, as the provider's hooks expect them.
"""

from __future__ import annotations

from airflow.providers.apache.kafka.hooks.base import KafkaBaseHook
from airflow.sdk import Connection
from airflow.sdk.exceptions import AirflowNotFoundException

from mysimbdp import errors
from mysimbdp.messaging import Properties

_ADDRESS = "bootstrap.servers"


def properties(connection_id: str) -> Properties:
    """Return the client properties of a connection. Runs in a worker; it waits for the supervisor.

    Raises:
        ConfigurationError: there is no such connection, or it names no server.

    """
    try:
        return _read(KafkaBaseHook.get_connection(connection_id))
    except AirflowNotFoundException:
        raise _missing(connection_id) from None


async def aproperties(connection_id: str) -> Properties:
    """Return the client properties of a connection. Runs in a trigger.

    Raises:
        ConfigurationError: there is no such connection, or it names no server.

    """
    try:
        return _read(await KafkaBaseHook.aget_connection(connection_id))
    except AirflowNotFoundException:
        raise _missing(connection_id) from None


def _read(connection: Connection) -> Properties:
    found = {key: _text(value) for key, value in connection.extra_dejson.items()}
    if not found.get(_ADDRESS):
        raise errors.ConfigurationError(
            f"The Airflow connection {connection.conn_id} names no Kafka: expected "
            f"{_ADDRESS} in its config dict. Correct it under Admin, Connections.",
            connection=connection.conn_id,
        )
    return found


def _text(value: object) -> str:
    """Write a value as librdkafka reads it; in a form somebody may type true for "true"."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _missing(connection_id: str) -> errors.ConfigurationError:
    return errors.ConfigurationError(
        f"The Airflow connection {connection_id} does not exist. The registrar makes it, for "
        "tenants whose agreement has streams: see whether it runs (mysimbdp status).",
        connection=connection_id,
    )
