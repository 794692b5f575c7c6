"""Ask Kafka, embedded or the provider's own, whether it works for a login."""

from __future__ import annotations

import logging
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from mysimbdp import errors
from mysimbdp.messaging import Properties

READY_SECONDS = 10.0

_PROBE_SECONDS = 2.0
_BACKOFF_MS = 200

#: A server that does not answer is what we ask for; librdkafka would print it line by line.
_SILENT = logging.getLogger("mysimbdp.kafka_probe")
_SILENT.addHandler(logging.NullHandler())
_SILENT.propagate = False


def answers(login: Properties) -> bool:
    """Tell whether Kafka answers to a login."""
    return _complaint(login, _PROBE_SECONDS) is None


def check(login: Properties) -> None:
    """Check that the provider's own Kafka answers to the registrar.

    Raises:
        StackError: it does not, or refuses the login.

    """
    if complaint := _complaint(login, READY_SECONDS):
        raise errors.StackError(
            f"Kafka at {login['bootstrap.servers']} cannot be used: {complaint}. Start it, or "
            "correct KAFKA_BROKER and the client properties in the file that KAFKA_LOGIN names."
        )


def _complaint(login: Properties, patience_seconds: float) -> str | None:
    seen: list[KafkaError] = []
    own: dict[str, Any] = {"error_cb": seen.append, "reconnect.backoff.max.ms": _BACKOFF_MS}
    try:
        client = AdminClient(login | own, logger=_SILENT)
    except KafkaException as error:
        return f"its client properties are not usable ({error.args[0].str()})"
    try:
        client.list_topics(timeout=patience_seconds)
    except KafkaException as error:
        client.poll(0)
        refused = [each for each in seen if each.code() == KafkaError._AUTHENTICATION]  # noqa: SLF001
        if refused:
            return "it refuses the registrar's login"
        return f"it does not answer ({error.args[0].str()})"
    return None
