"""Send reports to the topic `metrics`, with the platform's login."""

from __future__ import annotations

import logging

from confluent_kafka import KafkaError, Message, Producer

from mysimbdp import naming
from mysimbdp.messaging import Properties
from mysimbdp.streaming import report as reports
from mysimbdp.streaming.report import Report

_KEPT_SECONDS = 300
_FLUSH_SECONDS = 5.0
_log = logging.getLogger(__name__)


class Publisher:
    """A producer that never holds the ingestion up: reports wait while Kafka is away."""

    def __init__(self, login: Properties) -> None:
        self._producer = Producer(
            {
                **login,
                "client.id": "mysimbdp-reports",
                "acks": "all",
                "enable.idempotence": True,
                "message.timeout.ms": _KEPT_SECONDS * 1000,
                "linger.ms": 5,
            },
            logger=_log,
        )

    def publish(self, report: Report) -> None:
        """Send a report; one that could not be sent in five minutes is dropped and logged."""
        origin = report.origin
        try:
            self._producer.produce(
                naming.METRICS_TOPIC,
                key=naming.stream_app(origin.tenant_id, origin.streaming_app_id),
                value=reports.encode(report),
                on_delivery=_note,
            )
        except BufferError:
            _log.warning("a report is dropped: Kafka has been away for too long")
        self._producer.poll(0)

    def close(self) -> None:
        """Send what waits, for a moment."""
        self._producer.flush(_FLUSH_SECONDS)


def _note(error: KafkaError | None, _message: Message) -> None:
    if error is not None:
        _log.warning("a report was not delivered: %s", error.str())
