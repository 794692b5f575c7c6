"""The report of one instance about one window, as it stands in the topic `metrics`.

Keys and units of the first three parts are those that tenants know; what follows is ours. Further
keys are allowed everywhere, and not read.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Literal

import msgspec

from mysimbdp import errors, naming

BYTES_PER_MEGABYTE = 2**20
#: As many instances as an app can have.
MAX_INSTANCES = 64
_LONGEST_REPORT_BYTES = 64 * 1024
#: How far a tenant's clock may be ahead of ours.
_CLOCK_TOLERANCE = timedelta(minutes=1)

_Moment = Annotated[datetime, msgspec.Meta(tz=True)]


class ReportInvalidError(errors.TerminalError):
    """A message of a metrics topic is no report."""


class Metrics(msgspec.Struct, frozen=True, kw_only=True):
    """What was ingested."""

    processing_rate: Annotated[
        float, msgspec.Meta(ge=0, description="messages per second in the window")
    ]
    throughput: Annotated[float, msgspec.Meta(ge=0, description="bytes per second in the window")]
    average_ingestion_time: Annotated[
        float,
        msgspec.Meta(
            ge=0,
            description="seconds from a message's production to its acknowledged storage, averaged "
            "over the window; 0 in a window without messages",
        ),
    ]
    total_ingestion_data_size: Annotated[
        int,
        msgspec.Meta(
            ge=0,
            description="megabytes (2^20 bytes) since the start of the instance, rounded down",
        ),
    ]
    total_number_of_messages: Annotated[
        int, msgspec.Meta(ge=0, description="messages since the start of the instance")
    ]


class Timeframe(msgspec.Struct, frozen=True, kw_only=True):
    """When; times have a zone."""

    ingestion_start_time: Annotated[_Moment, msgspec.Meta(description="start of the instance")]
    measurement_start_time: Annotated[_Moment, msgspec.Meta(description="start of the window")]
    measurement_end_time: Annotated[_Moment, msgspec.Meta(description="end of the window")]


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """Who."""

    streaming_app_id: Annotated[
        str, msgspec.Meta(min_length=1, description="the stream app, as it is registered")
    ]
    tenant_id: Annotated[str, msgspec.Meta(min_length=1, description="whose app it is")]
    instance: Annotated[
        int,
        msgspec.Meta(
            ge=0, lt=MAX_INSTANCES, description="which instance of the app, counted from 0"
        ),
    ] = 0


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """What an average hides, for the window."""

    messages: Annotated[int, msgspec.Meta(ge=0, description="messages stored or rejected")]
    rejected: Annotated[int, msgspec.Meta(ge=0, description="messages rejected")]
    bytes: Annotated[int, msgspec.Meta(ge=0, description="bytes of the messages' keys and values")]
    max_ingestion_time: Annotated[
        float | None,
        msgspec.Meta(description="seconds, of the slowest message; null without messages"),
    ]
    lag: Annotated[
        int | None,
        msgspec.Meta(
            description="messages that wait in the instance's partitions at the end of the window; "
            "null if unknown"
        ),
    ]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What one instance of a stream app ingested in one window."""

    metrics: Metrics
    timeframe: Timeframe
    origin: Origin
    window: Window | None = None
    source: Annotated[
        Literal["platform", "outside", "tenant"],
        msgspec.Meta(
            description="who measured: the platform; the platform from outside, by what a tenant's "
            "script leaves in Kafka and MongoDB; or the tenant itself, whose word it is"
        ),
    ] = "platform"

    @property
    def app(self) -> str:
        """Name the stream app as the tenant registered it."""
        return self.origin.streaming_app_id.removeprefix(
            naming.stream_app(self.origin.tenant_id, "")
        )

    @property
    def ended_at(self) -> datetime:
        """Tell when the window ended."""
        return self.timeframe.measurement_end_time

    @property
    def window_length(self) -> timedelta:
        """Tell how long the window was."""
        return self.timeframe.measurement_end_time - self.timeframe.measurement_start_time


def of_window(
    origin: Origin,
    timeframe: Timeframe,
    window: Window,
    *,
    seconds: float,
    average_seconds: float,
    total_messages: int,
    total_bytes: int,
    source: Literal["platform", "outside"],
) -> Report:
    """Put a report together; `seconds` is the window's length by a clock that never jumps."""
    return Report(
        metrics=Metrics(
            processing_rate=window.messages / seconds,
            throughput=window.bytes / seconds,
            average_ingestion_time=average_seconds,
            total_ingestion_data_size=total_bytes // BYTES_PER_MEGABYTE,
            total_number_of_messages=total_messages,
        ),
        timeframe=timeframe,
        origin=origin,
        window=window,
        source=source,
    )


def encode(report: Report) -> bytes:
    """Write a report as the value of a message."""
    return msgspec.json.encode(report)


def decode(value: bytes) -> Report:
    """Read a report from the value of a message.

    Raises:
        ReportInvalidError: it is not one; the message says which key is wrong.

    """
    if len(value) > _LONGEST_REPORT_BYTES:
        raise ReportInvalidError(
            f"The report has {len(value):,} bytes, expected at most {_LONGEST_REPORT_BYTES:,}."
        )
    try:
        report = msgspec.json.decode(value, type=Report)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ReportInvalidError(
            f"The report does not keep constraints/metrics.schema.json: {error}."
        ) from error
    if report.window_length <= timedelta(0):
        raise ReportInvalidError(
            "The report's window has no length: expected measurement_end_time after "
            f"measurement_start_time, found {report.ended_at} after "
            f"{report.timeframe.measurement_start_time}."
        )
    return report


def decode_own(value: bytes, tenant: str, now: datetime) -> Report:
    """Read what a tenant's script reports of itself, on the tenant's own topic.

    Returns:
        The report, marked as the tenant's word.

    Raises:
        ReportInvalidError: it is no report, speaks for another tenant, or of the future.

    """
    report = decode(value)
    if report.origin.tenant_id != tenant:
        raise ReportInvalidError(
            f"The report on {naming.topic(tenant, naming.OWN_REPORTS)} speaks for another tenant: "
            f"expected origin.tenant_id {tenant}, found {report.origin.tenant_id!r}."
        )
    if report.ended_at > now + _CLOCK_TOLERANCE:
        raise ReportInvalidError(
            f"The report is of the future: found measurement_end_time {report.ended_at}, expected "
            f"at most {now}; see to the clock of the script's host."
        )
    return msgspec.structs.replace(report, source="tenant")
