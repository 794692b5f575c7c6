"""When a subdirectory's DAG runs: never by the clock, and once per archived day in a backfill."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.timetables.base import DagRunInfo, DataInterval, TimeRestriction, Timetable

if TYPE_CHECKING:
    from pendulum import DateTime


class ArchiveDays(Timetable):
    """Make one run per UTC day that a backfill asks for, and none otherwise.

    The plugin registers it. A backfill passes `catchup=True` whatever the DAG says, the scheduler
    passes the DAG's own setting, which is False: that tells the two apart. A run stands at midnight
    with no length, for Airflow leaves out days that have not ended and today's archive may be
    ingested again too.
    """

    description = "a backfill of archived days"
    # Backfills ask for this one; the other spares each DAG what only a clock needs, at every parse.
    periodic = True
    can_be_scheduled = False
    run_ordering = ("run_after",)

    @property
    def summary(self) -> str:
        """Name the timetable in the list of DAGs."""
        return "backfill"

    def infer_manual_data_interval(self, *, run_after: DateTime) -> DataInterval:
        """Give a manual run the moment at which it was asked for."""
        return DataInterval.exact(run_after)

    def next_dagrun_info(
        self,
        *,
        last_automated_data_interval: DataInterval | None,
        restriction: TimeRestriction,
    ) -> DagRunInfo | None:
        """Return the next day of a backfill. Runs in the scheduler and the API server."""
        if not restriction.catchup or restriction.earliest is None or restriction.latest is None:
            return None
        day = _first_midnight(restriction.earliest)
        if last_automated_data_interval is not None:
            day = max(day, last_automated_data_interval.start.add(days=1))
        return DagRunInfo.exact(day) if day <= restriction.latest else None


def _first_midnight(moment: DateTime) -> DateTime:
    midnight = moment.in_timezone("UTC").start_of("day")
    return midnight if midnight == moment else midnight.add(days=1)
