"""What a person may ask for in the trigger form, and what a run then looks for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

import attrs
from airflow.sdk import Context, Param

DEFAULT_WAIT_MINUTES = 10
_LONGEST_WAIT_MINUTES = 7 * 24 * 60
_DAYS = r"[0-9*][0-9*-]{0,9}"
#: A name or glob in the inbox, or `loaded/<day>/` and a name or glob in the archive.
FILES_PATTERN = rf"^(loaded/{_DAYS}/)?(?!\.)(?!.*\.\.)[^/\\\x00-\x1f]{{1,255}}$"


def form() -> dict[str, Param]:
    """Return the fields of the trigger form; Airflow checks what is typed in."""
    return {
        "files": Param(
            "*",
            type="string",
            pattern=FILES_PATTERN,
            title="Files",
            description_md=(
                "Name or pattern of the files to ingest.\n\n"
                "- `*` takes everything that is ready in the inbox\n"
                "- `2026-11-*.csv` takes some of it\n"
                "- `loaded/2026-11-22/*.csv` takes files that were loaded on that day again, from "
                "the archive; `loaded/*/trips.csv` looks at every day\n\n"
                "Ingesting again never makes duplicates. To repeat whole days, use *Backfill*."
            ),
            examples=["*", "*.csv", "loaded/2026-11-22/*", "loaded/*/trips.csv"],
        ),
        "wait_minutes": Param(
            DEFAULT_WAIT_MINUTES,
            type="number",
            minimum=0,
            maximum=_LONGEST_WAIT_MINUTES,
            title="Wait (minutes)",
            description_md=(
                "How long to wait for such files to arrive in the inbox before the run fails. "
                "Waiting takes no worker. Files of the archive are there or not: no waiting."
            ),
        ),
    }


@attrs.frozen(kw_only=True)
class Wanted:
    """What one run looks for.

    Attributes:
        names: glob on file names.
        days: glob on the days of the archive, None for the inbox.
        patience: how long to wait in the triggerer; zero means not at all.
        by_hand: a person asked for this very run, so finding nothing is a failure.

    """

    names: str
    days: str | None
    patience: timedelta
    by_hand: bool

    @property
    def pattern(self) -> str:
        """Write it as admission takes it: `*.csv`, `loaded/2026-11-22/*.csv`."""
        return self.names if self.days is None else f"loaded/{self.days}/{self.names}"


def wanted(fields: Mapping[str, Any], run_type: str, logical_date: date | None) -> Wanted:
    """Tell what a run looks for, from its form, its kind and (in a backfill) its day."""
    archived = re.fullmatch(rf"loaded/({_DAYS})/(.*)", fields["files"])
    days, names = archived.groups() if archived else (None, fields["files"])
    if run_type == "backfill" and logical_date is not None:
        days = logical_date.strftime("%Y-%m-%d")
    by_hand = run_type == "manual"
    waits = by_hand and days is None
    return Wanted(
        names=names,
        days=days,
        patience=timedelta(minutes=fields["wait_minutes"] if waits else 0),
        by_hand=by_hand,
    )


def wanted_by(context: Context) -> Wanted:
    """Tell what the run of a task looks for. Runs in a worker."""
    run = context["dag_run"]
    return wanted(context["params"], run.run_type.value, run.logical_date)
