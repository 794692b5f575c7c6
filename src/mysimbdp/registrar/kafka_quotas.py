"""How fast each user of Kafka may send and read.

Kafka counts on each broker by itself: in a cluster of several, a tenant whose topics are spread
over all of them gets the rate on each.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from kafka import KafkaAdminClient
from kafka import errors as kafka_errors
from kafka.protocol.admin import (
    AlterClientQuotasRequest,
    DescribeClientQuotasRequest,
)

from mysimbdp.agreements.model import StreamLimits
from mysimbdp.messaging import Properties

#: To whom a quota applies: `(("user", "tenant1"),)`, or a user with one of its client ids.
Entity = tuple[tuple[str, str | None], ...]
Quota = Mapping[str, float]
#: What to set; None removes a figure.
Plan = Mapping[Entity, Mapping[str, float | None]]

_ANY_NAME = 2
_REQUEST_SECONDS = 10.0
_NAMES = {
    "security.protocol": "security_protocol",
    "sasl.mechanism": "sasl_mechanism",
    "sasl.mechanisms": "sasl_mechanism",
    "sasl.username": "sasl_plain_username",
    "sasl.password": "sasl_plain_password",
    "ssl.ca.location": "ssl_cafile",
    "ssl.certificate.location": "ssl_certfile",
    "ssl.key.location": "ssl_keyfile",
    "ssl.key.password": "ssl_password",
}

# Its reasons are in our own errors.
logging.getLogger("kafka").addHandler(logging.NullHandler())


class QuotaClient(KafkaAdminClient):  # type: ignore[misc] # it has no types
    """The one thing that only kafka-python can send; it has the messages but no methods."""

    def __init__(self, properties: Properties, patience_seconds: float) -> None:
        named = {_NAMES[key]: value for key, value in properties.items() if key in _NAMES}
        super().__init__(
            **named,
            bootstrap_servers=properties["bootstrap.servers"].split(","),
            ssl_check_hostname=properties.get("ssl.endpoint.identification.algorithm") != "none",
            bootstrap_timeout_ms=int(patience_seconds * 1000),
            request_timeout_ms=int(_REQUEST_SECONDS * 1000),
        )

    def read(self) -> dict[Entity, Quota]:
        """Read the quotas of all users."""
        request = DescribeClientQuotasRequest
        any_user = request.ComponentData(entity_type="user", match_type=_ANY_NAME, match=None)
        answer = self._ask(request(components=[any_user], strict=False))
        _check(answer)
        return {
            tuple(sorted((one.entity_type, one.entity_name) for one in entry.entity)): {
                value.key: value.value for value in entry.values
            }
            for entry in answer.entries or ()
        }

    def write(self, plan: Plan) -> None:
        """Set quotas."""
        entry = AlterClientQuotasRequest.EntryData
        entries = [
            entry(
                entity=[entry.EntityData(entity_type=kind, entity_name=name) for kind, name in to],
                ops=[
                    entry.OpData(key=key, value=value or 0.0, remove=value is None)
                    for key, value in ops.items()
                ],
            )
            for to, ops in plan.items()
        ]
        answer = self._ask(AlterClientQuotasRequest(entries=entries, validate_only=False))
        for altered in answer.entries:
            _check(altered)

    def _ask(self, request: Any) -> Any:
        return self._manager.run(self._manager.send, request)


def of(limits: StreamLimits) -> Quota:
    """Return what an agreement says."""
    return {
        "producer_byte_rate": float(limits.max_publish_rate.bytes_per_second),
        "consumer_byte_rate": float(limits.max_consume_rate.bytes_per_second),
    }


def plan(seen: Mapping[Entity, Quota], user: str, wished: Quota) -> Plan:
    """Compare what a user has with what it should have, for all its client ids together.

    A quota for one of its client ids would stand above that of the user, so there is none.
    """
    own: Entity = (("user", user),)
    found: dict[Entity, Quota] = {own: {}}
    found.update((entity, quota) for entity, quota in seen.items() if ("user", user) in entity)
    changes: dict[Entity, dict[str, float | None]] = {}
    for entity, quota in found.items():
        right = wished if entity == own else {}
        ops: dict[str, float | None] = {key: None for key in quota if key not in right}
        ops |= {key: value for key, value in right.items() if quota.get(key) != value}
        if ops:
            changes[entity] = ops
    return changes


def _check(answer: Any) -> None:
    if answer.error_code:
        raise kafka_errors.for_code(answer.error_code)(answer.error_message)
