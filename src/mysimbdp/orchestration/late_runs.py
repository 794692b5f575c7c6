"""Runs that are late: what is late of them, the alert about it, and its end.

What is judged in the end are the files: a run by hand may have waited for them first.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
from pymongo.database import Database

from mysimbdp import errors, naming, registry, settings
from mysimbdp.agreements.quantity import Duration
from mysimbdp.ledger import TERMINAL, Ledger
from mysimbdp.orchestration import connections
from mysimbdp.orchestration.deadline import CAUSE
from mysimbdp.reporting.alert import Alert, Kind
from mysimbdp.reporting.alerts import AlertStore

RECOVERY_SECONDS = 5.0
#: How often runs with an open alert are looked at.
_LOOK_SECONDS = 5.0
_UNDER_WAY = ["queued", "running"]
_log = logging.getLogger(__name__)


@attrs.frozen(kw_only=True)
class Missed:
    """What the scheduler tells of a run whose deadline has passed."""

    run_id: str
    run_type: str
    ended_at: datetime | None
    deadline_at: datetime

    @property
    def ended_in_time(self) -> bool:
        """Tell whether it ended before: Airflow forgets the deadlines of successful runs only."""
        return self.ended_at is not None and self.ended_at <= self.deadline_at


async def watch(tenant: str, subdirectory: str, agreed: str, context: Mapping[str, Any]) -> str:
    """Open an alert if files of the run are late; wait while that is not decided."""
    run = _missed(context)
    if run.ended_in_time or run.run_type == "backfill":
        return "nothing is late"
    while True:
        try:
            again_at = await asyncio.to_thread(
                _judge_run, tenant, subdirectory, Duration(agreed), run
            )
        except (errors.PlatformError, OSError) as error:
            _log.warning("The alert about %s waits: %s", run.run_id, error)
            await asyncio.sleep(RECOVERY_SECONDS)
            continue
        if again_at is None:
            return "done"
        await asyncio.sleep(max(0.0, (again_at - datetime.now(UTC)).total_seconds()))


def judge(
    documents: Sequence[Mapping[str, Any]], run: Missed, agreed: Duration, now: datetime
) -> str | datetime | None:
    """Tell what is late of a run's ingestions, or when to look again; None if nothing is; pure."""
    if not documents:
        return None if run.run_type == "manual" else "no file is claimed yet"
    limit = timedelta(seconds=agreed.seconds)
    # A file that is ingested once more from the archive has arrived long ago.
    arrived = [one for one in documents if not one.get("reingested")]
    late = [one for one in arrived if _settled_at(one, now) > _landed_at(one) + limit]
    waiting = [one for one in arrived if one["state"] not in TERMINAL]
    if late:
        return f"{len(late)} of {len(documents)} file(s) late, {len(waiting)} not settled"
    return min((_landed_at(one) + limit for one in waiting), default=None)


def _has_ended(dag_id: str, run_id: str) -> bool:
    return not RuntimeTaskInstance.get_dr_count(dag_id, run_ids=[run_id], states=_UNDER_WAY)


@attrs.define
class EndedRuns:
    """Close the alerts of runs that have ended. Runs in a thread of the triggerer."""

    platform: Database[Any]
    has_ended: Callable[[str, str], bool] = _has_ended
    _next_look: float = attrs.field(factory=time.monotonic, init=False)

    def __call__(self) -> None:
        """Look now and then."""
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + _LOOK_SECONDS
        alerts = AlertStore(self.platform)
        for alert in alerts.open_runs():
            dag_id, run_id = naming.dag_id(alert.tenant, alert.name), str(alert.run_id)
            if self.has_ended(dag_id, run_id):
                documents = Ledger(self.platform).of_run(dag_id, run_id)
                alerts.close_run(alert, datetime.now(UTC), "the run ended", _outcome(documents))


def _judge_run(tenant: str, subdirectory: str, agreed: Duration, run: Missed) -> datetime | None:
    places = settings.from_environment()
    with connections.open_streams() as streams:
        documents = Ledger(streams.platform).of_run(naming.dag_id(tenant, subdirectory), run.run_id)
        verdict = judge(documents, run, agreed, datetime.now(UTC))
        if not isinstance(verdict, str):
            return verdict
        known = {one.tenant: one.agreement for one in registry.read(places.registry)}
        agreement = known.get(tenant)
        AlertStore(streams.platform).open(
            Alert(
                tenant=tenant,
                kind=Kind.BATCH,
                name=subdirectory,
                cause=CAUSE,
                expected=f"every file loaded or rejected within {agreed} of its arrival",
                found=verdict,
                opened_at=run.deadline_at,
                contacts=agreement.contacts if agreement else (),
                run_id=run.run_id,
            )
        )
    return None


def _missed(context: Mapping[str, Any]) -> Missed:
    run = context["dag_run"]
    return Missed(
        run_id=run["dag_run_id"],
        run_type=str(run["run_type"]),
        ended_at=_moment(run["end_date"]),
        deadline_at=_moment(context["deadline"]["deadline_time"]) or datetime.now(UTC),
    )


def _moment(value: datetime | str | None) -> datetime | None:
    return datetime.fromisoformat(value) if isinstance(value, str) else value


def _landed_at(document: Mapping[str, Any]) -> datetime:
    landed: datetime = document.get("landed_at") or document["claimed_at"]
    return landed


def _settled_at(document: Mapping[str, Any], now: datetime) -> datetime:
    settled: datetime | None = document.get("ended_at")
    return settled if document["state"] in TERMINAL and settled is not None else now


def _outcome(documents: list[dict[str, Any]]) -> str:
    states = Counter(str(one["state"]) for one in documents)
    return ", ".join(f"{count} {state}" for state, count in sorted(states.items())) or "no files"
