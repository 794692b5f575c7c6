"""The report of one ingestion: what came, what became of it, how long it took, why not."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

import attrs

from mysimbdp.reporting import journal

#: Agreements, logs, tables and plots all mean this by MB.
MEGABYTE = 2**20


class State(StrEnum):
    """How far an ingestion is; the last three are final."""

    #: The file is the platform's; it was not judged yet.
    CLAIMED = "claimed"
    #: The file keeps the agreement and waits for a slot.
    ADMITTED = "admitted"
    #: A child is working on it.
    LOADING = "loading"
    #: Every row is in the database or in the reject store.
    STORED = "stored"
    #: The file violates the agreement.
    REFUSED = "refused"
    #: The work failed for a named cause.
    BROKEN = "broken"
    LOADED = "loaded"
    REJECTED = "rejected"
    FAILED = "failed"


@attrs.frozen(kw_only=True)
class IngestionReport:
    """One file through one pipeline, once: a document of `mysimbdp.ingestions`.

    `violations` are the sentences of the agreement's rules that the file broke; `error` is the
    sentence of a failure, and `cause` its name. Times are in UTC.
    """

    id: str
    tenant: str
    pipeline: str
    name: str
    path: str
    size_bytes: int
    state: State
    dag_id: str | None = None
    run_id: str | None = None
    format: str | None = None
    sha256: str | None = None
    landed_at: datetime | None = None
    claimed_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    duration_seconds: float | None = None
    attempt: int | None = None
    rows_read: int | None = None
    rows_stored: int | None = None
    rows_replayed: int | None = None
    rows_rejected: int | None = None
    cause: str | None = None
    error: str | None = None
    violations: tuple[str, ...] = ()
    peak_memory_bytes: int | None = None
    reingested: bool = False
    mailed_at: datetime | None = None

    @property
    def success(self) -> bool:
        """Tell whether the file is loaded; a rejected, failed or unfinished one is not."""
        return self.state is State.LOADED

    @property
    def megabytes_per_second(self) -> float | None:
        """Return the speed of the ingestion, None if it never started."""
        if self.started_at is None or not self.duration_seconds:
            return None
        return self.size_bytes / MEGABYTE / self.duration_seconds

    @property
    def reasons(self) -> tuple[str, ...]:
        """Give every reason why the file is not loaded."""
        if self.violations:
            return self.violations
        named = [part for part in (self.cause, self.error) if part]
        return (": ".join(named),) if named else ()

    def as_row(self) -> tuple[str, ...]:
        """Return the row of the metrics log: tenant, path, bytes, times, success, error."""
        duration = self.duration_seconds
        return (
            self.tenant,
            journal.one_line(self.path),
            str(self.size_bytes),
            "" if self.started_at is None else journal.timestamp(self.started_at),
            ""
            if self.ended_at is None or self.started_at is None
            else journal.timestamp(self.ended_at),
            "" if duration is None else str(timedelta(seconds=duration)),
            "" if self.state is State.REJECTED else str(self.success),
            journal.one_line(" ".join(self.reasons)),
        )


_FIELDS = frozenset(attrs.fields_dict(IngestionReport)) - {"id", "violations"}


def from_document(document: Mapping[str, Any]) -> IngestionReport:
    """Read a report from its document; keys that a report does not have are left out."""
    known = {key: _aware(value) for key, value in document.items() if key in _FIELDS}
    return IngestionReport(
        **known | {"state": State(document["state"])},
        id=str(document["_id"]),
        violations=tuple(violation["message"] for violation in document.get("violations") or ()),
    )


def _aware(value: Any) -> Any:
    """Give a datetime that MongoDB returned without a zone the zone that it has: UTC."""
    if isinstance(value, datetime) and value.tzinfo is None:
        return value.replace(tzinfo=UTC)
    return value
