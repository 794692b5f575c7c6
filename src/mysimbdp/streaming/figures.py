"""The figures of an app, from the latest windows of all its instances; pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import attrs

from mysimbdp.streaming.report import Report

#: An instance that is so many of its windows behind the others is gone: the app was scaled down.
_GONE_WINDOWS = 3


@attrs.frozen(kw_only=True)
class Figures:
    """Of the latest windows together; None is unknown."""

    ingestion_seconds: float | None
    lag: int | None
    reject_ratio: float | None


def measured(reports: Iterable[Report]) -> list[Report]:
    """Pick what the platform measured itself, inside or from outside."""
    return [report for report in reports if report.source != "tenant"]


def fresh(reports: Mapping[str, Report]) -> dict[str, Report]:
    """Leave out the instances that are gone.

    Whoever measures has a clock of its own: instances are compared with those of the same source.
    """
    newest = {
        source: max(one.ended_at for one in reports.values() if one.source == source)
        for source in {one.source for one in reports.values()}
    }
    return {
        key: one
        for key, one in reports.items()
        if newest[one.source] - one.ended_at <= one.window_length * _GONE_WINDOWS
    }


def combined(reports: Collection[Report]) -> Figures:
    """Combine the latest windows of an app's instances.

    A script's rejects cannot be seen from outside: there the tenant's own word counts. Without
    messages nothing is slow and nothing rejected, unless messages wait: then both are unknown.
    """
    timed = measured(reports) or reports
    inside = [one for one in timed if one.source == "platform"]
    counted = inside or [one for one in reports if one.source == "tenant"]
    waiting = _lag(timed)
    quiet = None if waiting else 0.0
    return Figures(
        ingestion_seconds=_average_seconds(timed) if any(map(_messages, timed)) else quiet,
        lag=waiting,
        reject_ratio=_reject_ratio(counted) if any(map(_messages, counted)) else quiet,
    )


def _average_seconds(reports: Iterable[Report]) -> float:
    weighed = [(one.metrics.average_ingestion_time, _messages(one)) for one in reports]
    return sum(seconds * count for seconds, count in weighed) / sum(n for _, n in weighed)


def _reject_ratio(reports: Iterable[Report]) -> float | None:
    windows = [one.window for one in reports if one.window is not None and one.window.messages]
    if not windows:
        return None
    return sum(one.rejected for one in windows) / sum(one.messages for one in windows)


def _lag(reports: Iterable[Report]) -> int | None:
    known = [one.window.lag for one in reports if one.window and one.window.lag is not None]
    return sum(known) if known else None


def _messages(report: Report) -> float:
    if report.window is not None:
        return report.window.messages
    return report.metrics.processing_rate * report.window_length.total_seconds()
