"""The report of one instance about one window, as it stands in the topic `metrics`.

Keys and units of the first three parts are those that tenants know; what follows is ours.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

BYTES_PER_MEGABYTE = 2**20


class Metrics(msgspec.Struct, frozen=True, kw_only=True):
    """What was ingested.

    Attributes:
        processing_rate: messages per second in the window.
        throughput: bytes per second in the window.
        average_ingestion_time: seconds from a message's production to its acknowledged storage,
            averaged over the window; 0 in a window without messages.
        total_ingestion_data_size: megabytes since the start of the instance, rounded down.
        total_number_of_messages: messages since the start of the instance.

    """

    processing_rate: float
    throughput: float
    average_ingestion_time: float
    total_ingestion_data_size: int
    total_number_of_messages: int


class Timeframe(msgspec.Struct, frozen=True, kw_only=True):
    """When: the start of the instance, and the window. Times are aware, in UTC."""

    ingestion_start_time: datetime
    measurement_start_time: datetime
    measurement_end_time: datetime


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """Who; `instance` is ours."""

    streaming_app_id: str
    tenant_id: str
    instance: int = 0


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """What an average hides, for the window.

    Attributes:
        messages: stored or rejected.
        rejected: of them.
        bytes: of the messages' keys and values.
        max_ingestion_time: seconds, of the slowest message; None without messages.
        lag: messages that wait in the instance's partitions at the end; None if unknown.

    """

    messages: int
    rejected: int
    bytes: int
    max_ingestion_time: float | None
    lag: int | None


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """One instance, one window.

    Attributes:
        source: who measured: the platform; the platform from outside, by what a tenant's script
            leaves in Kafka and MongoDB; or the tenant itself, whose word it is.

    """

    metrics: Metrics
    timeframe: Timeframe
    origin: Origin
    window: Window | None = None
    source: Literal["platform", "outside", "tenant"] = "platform"


def encode(report: Report) -> bytes:
    """Write a report as the value of a message."""
    return msgspec.json.encode(report)
