"""What each tenant and all together ingested: counts, volume, speed, duration."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence

import attrs

from mysimbdp.reporting import report

_FINAL = frozenset({report.State.LOADED, report.State.REJECTED, report.State.FAILED})


@attrs.frozen(kw_only=True)
class Statistics:
    """The settled ingestions of one tenant, or of all together when `tenant` is None.

    Rows, bytes, speeds and durations are those of loaded files; the average is over ingestions,
    each counting alike, and None if there is none.
    """

    tenant: str | None
    successes: int
    rejected: int
    failed: int
    rows_stored: int
    rows_rejected: int
    loaded_bytes: int
    average_megabytes_per_second: float | None
    maximum_megabytes_per_second: float | None
    average_duration_seconds: float | None
    maximum_duration_seconds: float | None

    @property
    def failures(self) -> int:
        """Count the files that were not loaded, for whatever reason."""
        return self.rejected + self.failed


def of_all(ingestions: Iterable[report.IngestionReport]) -> Statistics:
    """Sum up all tenants."""
    return _summarize(None, _settled(ingestions))


def per_tenant(ingestions: Iterable[report.IngestionReport]) -> tuple[Statistics, ...]:
    """Sum up each tenant, in order of their names."""
    groups: dict[str, list[report.IngestionReport]] = defaultdict(list)
    for ingestion in _settled(ingestions):
        groups[ingestion.tenant].append(ingestion)
    return tuple(_summarize(tenant, groups[tenant]) for tenant in sorted(groups))


def _settled(ingestions: Iterable[report.IngestionReport]) -> list[report.IngestionReport]:
    return [ingestion for ingestion in ingestions if ingestion.state in _FINAL]


def _summarize(tenant: str | None, settled: Sequence[report.IngestionReport]) -> Statistics:
    loaded = [ingestion for ingestion in settled if ingestion.success]
    states = [ingestion.state for ingestion in settled]
    speeds = [ingestion.megabytes_per_second for ingestion in loaded]
    durations = [ingestion.duration_seconds for ingestion in loaded]
    return Statistics(
        tenant=tenant,
        successes=len(loaded),
        rejected=states.count(report.State.REJECTED),
        failed=states.count(report.State.FAILED),
        rows_stored=sum(ingestion.rows_stored or 0 for ingestion in loaded),
        rows_rejected=sum(ingestion.rows_rejected or 0 for ingestion in loaded),
        loaded_bytes=sum(ingestion.size_bytes for ingestion in loaded),
        average_megabytes_per_second=_average(speeds),
        maximum_megabytes_per_second=_maximum(speeds),
        average_duration_seconds=_average(durations),
        maximum_duration_seconds=_maximum(durations),
    )


def _average(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None


def _maximum(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)
