"""The logins that the instances of a stream app get, from Airflow connections."""

from __future__ import annotations

import attrs

from mysimbdp import naming
from mysimbdp.messaging import Properties
from mysimbdp.orchestration import connections, kafka_connection


@attrs.frozen(kw_only=True)
class Logins:
    """The tenant's own logins, and the platform's for reports and checkpoints."""

    kafka: Properties = attrs.field(repr=False)
    metrics: Properties = attrs.field(repr=False)
    mongo_url: str = attrs.field(repr=False)
    platform_url: str = attrs.field(repr=False)


def read(tenant: str) -> Logins:
    """Return the logins as they are now. Runs in a worker, or in a thread of the triggerer.

    Raises:
        ConfigurationError: a connection is missing.

    """
    return Logins(
        kafka=kafka_connection.properties(naming.kafka_connection(tenant)),
        metrics=kafka_connection.properties(naming.KAFKA_CONNECTION),
        mongo_url=connections.url_of(naming.mongo_connection(tenant)),
        platform_url=connections.url_of(naming.PLATFORM_CONNECTION),
    )
